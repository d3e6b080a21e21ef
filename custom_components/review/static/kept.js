// What this browser keeps of how a rater likes to look.

export function kept(name, otherwise) {
  try {
    return localStorage.getItem(name) ?? otherwise
  } catch (error) {
    return otherwise
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(name, value)
  } catch (error) { /* private windows keep nothing */ }
}
