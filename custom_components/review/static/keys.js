// What a key means, on whatever keyboard.

const PLACES = {
  Digit0: '0', Digit1: '1', Digit2: '2', Numpad0: '0', Numpad1: '1', Numpad2: '2', KeyU: 'u', KeyF: 'f',
}
const OF_RANGES = ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End', 'PageUp', 'PageDown']
const REPEATED = ['ArrowUp', 'ArrowDown', '+', '=', '-']

// What a key does: by what it writes, or on keyboards of other scripts by where it lies.
export function actionOf(event, all) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  if (all[key] || event.shiftKey || /^[a-z]$/.test(key)) return all[key]
  return all[PLACES[event.code]]
}

// Whether a control that has the focus takes the key itself.
export function isTaken(event) {
  if (event.target.matches('button, a')) return event.key === ' ' || event.key === 'Enter'
  return event.target.type === 'range' && OF_RANGES.includes(event.key)
}

// Whether a key that is held does it again and again.
export const isRepeated = (event) => REPEATED.includes(event.key)
