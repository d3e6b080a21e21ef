// Talk to the server: each function gives what it answers, or throws a `Failure`.

export class Failure extends Error {
  // status: of HTTP, 0 if there was no answer
  constructor(status, text, conflict = '') {
    super(text)
    this.status = status
    this.conflict = conflict
  }
  get isPassing() { return this.status === 0 || this.status >= 500 }
}

const rater = { headers: {}, onOther: () => {} }

// Say with each request for whom this page is; onOther(text): another rater has entered in this browser.
export function speakFor(name, onOther = () => {}) {
  rater.headers = name ? { 'X-Rater': encodeURIComponent(name) } : {}
  rater.onOther = onOther
}

async function ask(path, { headers, ...options } = {}) {
  let response
  try {
    response = await fetch(path, {
      credentials: 'same-origin', cache: 'no-store', signal: AbortSignal.timeout(15000), headers: { ...rater.headers, ...headers }, ...options,
    })
  } catch (error) {
    throw new Failure(0, 'the server does not answer')
  }
  if (response.ok) return response
  const answer = await response.json().catch(() => ({}))
  if (answer.conflict === 'rater') rater.onOther(answer.error)
  throw new Failure(response.status, answer.error || `the server answers ${response.status}`, answer.conflict)
}

async function json(path, options) {
  const response = await ask(path, options)
  try {
    return await response.json()
  } catch (error) {
    throw new Failure(0, 'the answer broke off')
  }
}

export const get = (path, query = {}) => json(`${path}?${new URLSearchParams(query)}`)

export const post = (path, body = {}, type = 'application/json') =>
  json(path, { method: 'POST', headers: { 'Content-Type': type }, body: type === 'application/json' ? JSON.stringify(body) : body })

export async function picture(path, query) {
  const response = await ask(`${path}?${new URLSearchParams(query)}`)
  try {
    return await createImageBitmap(await response.blob())
  } catch (error) {
    throw new Failure(0, 'the picture came broken')
  }
}

// A name for a wish, so that the server does it once however often it is sent.
export function newRequest() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
