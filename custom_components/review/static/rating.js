// What is shown, what comes next, and what is stored. A montage leaves the screen only when its code is on the server's disk.

import { Failure, get, newRequest, pause, picture, post } from '/api.js'

const AHEAD = 5 // montages that are loaded before they are wanted
const RETRY = 800 // milliseconds
const SLOW = 700 // milliseconds until the page says that it waits
const LATE = 3000 // milliseconds until it warns
const UNSEEN = 250 // milliseconds in which a press was meant for the montage before

const CHANGED = {
  changed: 'Not saved: the segmentation was replaced just now. This is the new one.',
  'rated elsewhere': 'Not saved: this one was coded in another window. Look again before you change it.',
}

export class Rating extends EventTarget {
  // stage: see stage.js
  constructor(stage) {
    super()
    this.stage = stage
    this.turn = null
    this.loaded = new Map() // by place and version, promises of layers
    this.queue = [] // what comes next, without a code
    this.asked = 0 // how often what comes next was asked for
    this.last = null // event of what was stored last, which undo takes back
    this.isBusy = false
    this.isReady = false // for a code
    this.isSaving = false
    this.isDeciding = false
    this.coded = 0
    document.addEventListener('visibilitychange', () => this.watchClock())
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })) }

  async start() {
    this.turn = null
    this.queue = []
    await this.during(() => this.showNext(0))
  }

  // Run one thing at a time; what is pressed meanwhile is not done, as it was meant for what is on the screen now.
  async during(work) {
    if (this.isBusy) return
    this.isBusy = true
    this.tell('busy', true)
    try {
      await work()
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      this.tell('failure', error)
    } finally {
      this.isBusy = false
      this.tell('busy', false)
    }
  }

  // Ask until there is an answer; the page says that it waits. what: to `save` or to `load`
  async persist(ask, what = 'load') {
    this.isSaving = what === 'save'
    const timers = [
      setTimeout(() => this.tell('slow', what), SLOW),
      setTimeout(() => this.tell('waiting', { what, why: 'the server has not answered yet' }), LATE),
    ]
    try {
      for (;;) {
        try {
          return await ask()
        } catch (error) {
          if (!(error instanceof Failure) || !error.isPassing) throw error
          this.tell('waiting', { what, why: error.message })
          await pause(RETRY)
        }
      }
    } finally {
      timers.forEach(clearTimeout)
      this.isSaving = false
      this.tell('answered')
    }
  }

  key(turn) { return `${turn.place}/${turn.version}` }

  load(turn) {
    const key = this.key(turn)
    if (!this.loaded.has(key)) {
      const layers = turn.layers.map((layer) => picture(`/api/montage/${turn.place}/${layer}`, { version: turn.version }))
      const promise = Promise.all(layers)
      promise.catch(() => this.loaded.delete(key))
      this.loaded.set(key, promise)
    }
    return this.loaded.get(key)
  }

  async fill(after) {
    const asked = ++this.asked
    const { turns } = await post('/api/next', { after, count: AHEAD, adjudication: this.isDeciding })
    if (asked !== this.asked) return // a later answer holds
    this.queue = turns.filter((turn) => turn.place !== this.turn?.place)
    const wanted = new Set([this.turn, ...this.queue].filter(Boolean).map((turn) => this.key(turn)))
    for (const key of this.loaded.keys()) {
      if (!wanted.has(key)) {
        this.loaded.get(key).then((layers) => layers.forEach((layer) => layer.close())).catch(() => {})
        this.loaded.delete(key)
      }
    }
    for (const turn of this.queue) this.load(turn).catch(() => {})
  }

  async showNext(after) {
    let turn = this.queue.shift()
    if (!turn) {
      await this.persist(() => this.fill(after))
      turn = this.queue.shift()
    }
    if (turn) await this.show(turn)
    else this.showEnd()
  }

  async show(turn) {
    let layers
    try {
      layers = await this.persist(() => this.load(turn))
    } catch (error) {
      if (error.status !== 409 && error.status !== 404) throw error
      this.queue = [] // its file has changed or gone while it waited
      return this.showNext(Math.max(0, turn.place - 1))
    }
    this.turn = turn
    this.stage.draw(layers)
    this.seconds = 0
    this.since = document.hidden ? null : performance.now()
    this.tell('show', turn)
    this.waitUntilSeen()
    this.fill(turn.place).catch(() => {})
  }

  // What comes right after a montage appears is the second half of a double press.
  waitUntilSeen() {
    clearTimeout(this.seen)
    this.isReady = false
    this.seen = setTimeout(() => {
      this.isReady = true
      this.tell('ready')
    }, UNSEEN)
  }

  showEnd() {
    clearTimeout(this.seen)
    this.isReady = false
    this.turn = null
    this.stage.clear()
    this.tell('show', null)
  }

  watchClock() {
    if (!this.turn) return
    if (document.hidden && this.since !== null) {
      this.seconds += (performance.now() - this.since) / 1000
      this.since = null
    } else if (!document.hidden && this.since === null) this.since = performance.now()
  }

  // reasons and text: why, where the page asks
  rate(code, reasons = [], text = '') {
    const turn = this.turn
    if (!turn || !this.isReady) return
    const seconds = this.seconds + (this.since === null ? 0 : (performance.now() - this.since) / 1000)
    const wish = { place: turn.place, version: turn.version, code, reasons, text, seconds, previous: turn.rating, request: newRequest() }
    return this.during(async () => {
      this.tell('given', code)
      const saved = await this.saved('/api/rate', wish)
      if (!saved) return
      this.coded += turn.code === null ? 1 : 0
      this.tell('saved', { code, place: turn.place, isNew: turn.code === null })
      await this.showNext(turn.place)
    })
  }

  // Store a wish; of what another page changed meanwhile show what stands, and give nothing.
  async saved(path, wish) {
    try {
      const answer = await this.persist(() => post(path, wish), 'save')
      this.last = answer.event
      return answer
    } catch (error) {
      if (error.status !== 404 && !(error.conflict in CHANGED)) throw error
      this.tell('note', CHANGED[error.conflict] ?? 'Not saved: this one cannot be shown any more.')
      this.loaded.clear()
      this.queue = []
      await this.showPlace(wish.place)
      return null
    }
  }

  async showPlace(place) {
    let turn
    try {
      ({ turn } = await this.persist(() => get(`/api/turn/${place}`)))
    } catch (error) {
      if (error.status !== 404) throw error
      return this.showNext(place) // it is gone
    }
    await this.show(turn)
  }

  back() {
    return this.during(async () => {
      const from = this.turn ? { place: this.turn.place } : {} // after the end
      const { before } = await this.persist(() => get('/api/around', from))
      if (before !== null) await this.showPlace(before)
    })
  }

  // Go on without a code: to what was shown after this one, or to the next one that has no code; from the end to what is left.
  skip() {
    return this.during(async () => {
      if (!this.turn) return this.showNext(0)
      const { place, code } = this.turn
      if (code === null) return this.showNext(place)
      const { after } = await this.persist(() => get('/api/around', { place }))
      if (after !== null) await this.showPlace(after)
      else await this.showNext(place)
    })
  }

  undo() {
    return this.during(async () => {
      const wish = { request: newRequest(), last: this.last }
      this.last = null
      this.queue = []
      try {
        const { place } = await this.persist(() => post('/api/undo', wish), 'save')
        this.tell('undone', place)
        await this.showPlace(place)
      } catch (error) {
        if (error.conflict !== 'undo') throw error
        this.tell('note', 'Not undone: something was done in another window since. This is how it stands.')
        await (this.turn ? this.showPlace(this.turn.place) : this.showNext(0))
      }
    })
  }

  async flag(reasons, text) {
    const turn = this.turn
    const wish = { place: turn.place, version: turn.version, reasons, text, request: newRequest() }
    await this.during(async () => {
      if (!await this.saved('/api/flag', wish)) return
      Object.assign(turn, { reasons, text, flagged: reasons.length > 0 || text.trim() !== '' })
      this.tell('flagged', turn)
    })
  }

  // Unlike a code this is meant whatever the screen shows: it waits until what is being done is done.
  async decide(isDeciding) {
    if (this.isBusy) await new Promise((resolve) => this.addEventListener('busy', resolve, { once: true }))
    return this.during(async () => {
      if (isDeciding) await this.persist(() => post('/api/adjudicate'))
      this.isDeciding = isDeciding
      this.queue = []
      await this.showNext(0)
    })
  }
}
