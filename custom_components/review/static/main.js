// The page: keys, buttons and what stands around the montage.

import { get, post } from '/api.js'
import { Planes } from '/planes.js'
import { Rating } from '/rating.js'
import { showResults } from '/results.js'
import { Stage } from '/stage.js'

const by = (id) => document.getElementById(id)
const codes = [...document.querySelectorAll('.code')]
const planes = new Planes(by('planes'), by('views'), by('windows'), by('planes-opacity'))
const stage = new Stage(by('stage'), by('sheet'), by('ct'), by('organs'), (x, y) => openPlanes(x, y))
const rating = new Rating(stage)
let state = null

// entering

async function enter(event) {
  event.preventDefault()
  try {
    await post('/api/enter', { token: token(), rater: by('rater').value })
    history.replaceState(null, '', '/')
    await begin()
  } catch (error) {
    by('enter-note').textContent = error.message
  }
}

const token = () => new URLSearchParams(location.hash.slice(1)).get('token') || ''

async function begin() {
  try {
    state = await get('/api/state')
  } catch (error) {
    by('work').hidden = true
    by('enter').hidden = false
    if (!token() || error.status !== 401) by('enter-note').textContent = error.message
    by('rater').focus()
    return
  }
  if (token()) history.replaceState(null, '', '/') // whoever is in already keeps the token for another
  by('enter').hidden = true
  by('work').hidden = false
  by('who').textContent = state.rater
  showLegend()
  showProgress()
  for (const image of document.querySelectorAll('[data-example]')) image.src = `/api/example/${image.dataset.example}`
  await rating.start()
  by('stage').focus()
}

// what stands around the montage

function showLegend() {
  by('legend').replaceChildren(...state.organs.map((organ) => {
    const item = document.createElement('li')
    const swatch = document.createElement('i')
    swatch.style.setProperty('--colour', organ.colour)
    item.classList.toggle('judged', organ.judged)
    item.append(swatch, organ.name)
    return item
  }))
}

function showProgress() {
  const { done, total, to_decide: toDecide } = state.progress
  by('progress').textContent = `${done} of ${total}`
  by('bar').setAttribute('aria-valuemax', total)
  by('bar').setAttribute('aria-valuenow', done)
  by('bar-done').style.width = `${100 * done / Math.max(1, total)}%`
  by('decide').hidden = !toDecide && !rating.isDeciding
  by('decide').firstChild.textContent = rating.isDeciding ? 'Back to coding ' : 'Decide '
  by('to-decide').textContent = rating.isDeciding ? '' : toDecide
}

let changes = 0 // what was stored, so that an answer from before it is not shown after it
async function refresh() {
  const before = changes
  try {
    const { progress } = await get('/api/state')
    if (changes !== before) return
    state.progress = progress
    showProgress()
  } catch (error) { /* the next save tells */ }
}

function showTurn(turn) {
  for (const button of codes) {
    button.classList.remove('given')
    button.setAttribute('aria-pressed', String(turn !== null && Number(button.dataset.code) === turn.code))
    button.disabled = !turn
  }
  for (const id of ['skip', 'open-flag', 'toggle', 'opacity', 'reset']) by(id).disabled = !turn
  by('overlay').hidden = turn !== null && !turn.layers.includes('organs')
  const decided = rating.isDeciding ? 'No more to decide.' : 'All montages are coded. Thank you!'
  by('message').textContent = turn ? '' : `${decided}\nBack shows them again; Results has the counts and the export.`
  by('about').textContent = turn ? about(turn) : ''
  showFlag(turn)
  if (!turn) refresh()
}

function about(turn) {
  const words = [turn.adjudication ? 'Raters disagree here: please decide' : '', turn.case_id, turn.model]
  if (turn.score !== undefined) words.push(`score ${turn.score.toFixed(2)}`)
  return words.filter(Boolean).join(' · ')
}

function showFlag(turn) {
  const words = turn ? [turn.reasons.join(', '), turn.text].filter(Boolean).join(': ') : ''
  by('flag-shown').hidden = !words
  by('flag-shown').textContent = `Flag: ${words}`
}

let noteTimer = 0
function note(text, isLasting = false) {
  clearTimeout(noteTimer)
  by('saved').textContent = text
  if (!isLasting) noteTimer = setTimeout(() => { by('saved').textContent = '' }, 4000)
}

rating.addEventListener('show', (event) => showTurn(event.detail))
rating.addEventListener('busy', (event) => by('stage').setAttribute('aria-busy', String(event.detail)))
rating.addEventListener('given', (event) => codes[event.detail].classList.add('given'))
rating.addEventListener('saved', (event) => {
  changes += 1
  if (event.detail.isNew && !rating.isDeciding) state.progress.done += 1
  showProgress()
  note('saved')
  if (rating.coded % 10 === 0 || rating.isDeciding) refresh()
})
rating.addEventListener('undone', () => { changes += 1; note('undone'); refresh() })
rating.addEventListener('flagged', (event) => { showFlag(event.detail); note('flag saved') })
rating.addEventListener('note', (event) => note(event.detail))
rating.addEventListener('connection', (event) => {
  by('alert').hidden = !event.detail
  by('alert').textContent = `Not saved yet: ${event.detail}. Trying again; leave this page open.`
})
rating.addEventListener('failure', (event) => {
  if (event.detail.status === 401) return begin()
  for (const button of codes) button.classList.remove('given')
  note(event.detail.message)
})
window.addEventListener('beforeunload', (event) => { if (!by('alert').hidden) event.preventDefault() })

// what a rater does

function setOverlay(opacity, isShown) {
  stage.setOverlay(opacity, isShown)
  by('opacity').value = Math.round(stage.opacity * 100)
  by('legend').style.setProperty('--share', `${by('opacity').value}%`)
  by('toggle').setAttribute('aria-pressed', String(stage.isShown))
}

// code: of the montage, if the flag is asked for before it is stored
function openFlag(code = null) {
  if (!rating.turn || rating.isBusy) return
  by('flag').dataset.code = code ?? ''
  by('flag-title').textContent = code === null ? 'What is wrong?' : `Code ${code}: which organs are wrong?`
  by('reasons').replaceChildren(...state.reasons.map((reason, number) => {
    const label = document.createElement('label')
    const box = Object.assign(document.createElement('input'), { type: 'checkbox', value: reason })
    box.checked = rating.turn.reasons.includes(reason)
    label.append(box, reason, Object.assign(document.createElement('kbd'), { textContent: number + 1 }))
    return label
  }))
  by('flag-text').value = rating.turn.text
  by('flag').showModal()
}

async function saveFlag() {
  const reasons = [...by('reasons').querySelectorAll(':checked')].map((box) => box.value)
  const { code } = by('flag').dataset
  const isSaved = await rating.flag(reasons, by('flag-text').value)
  if (isSaved && code) rating.rate(Number(code))
}

function rate(code) {
  if (state.asks_reasons && code > 0 && rating.turn && !rating.turn.reasons.length) openFlag(code)
  else rating.rate(code)
}

function openPlanes(x, y) {
  if (rating.turn?.planes) planes.open(rating.turn, x, y, stage.opacity)
}

const actions = {
  0: () => rate(0),
  1: () => rate(1),
  2: () => rate(2),
  ArrowLeft: () => rating.back(),
  Backspace: () => rating.back(),
  ArrowRight: () => rating.skip(),
  u: () => rating.undo(),
  ' ': () => setOverlay(stage.opacity, !stage.isShown),
  '+': () => setOverlay(stage.opacity + 0.1, true),
  '=': () => setOverlay(stage.opacity + 0.1, true),
  '-': () => setOverlay(stage.opacity - 0.1, true),
  f: () => openFlag(),
  '?': () => by('help').showModal(),
}

document.addEventListener('keydown', (event) => {
  if (by('work').hidden || event.ctrlKey || event.altKey || event.metaKey || document.querySelector('dialog[open]')) return
  if (planes.isOpen) {
    if (event.key === 'Escape') planes.close()
    return
  }
  const isControl = event.target.matches('button, a, input')
  if (isControl && (event.key === ' ' || event.key === 'Enter' || event.target.type === 'range')) return
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key]
  if (!action) return
  event.preventDefault()
  if (!event.repeat) action()
})

const clicks = {
  back: actions.ArrowLeft, skip: actions.ArrowRight, undo: actions.u, 'open-flag': () => openFlag(), toggle: actions[' '],
  reset: () => stage.fit(), 'open-help': actions['?'], 'close-planes': () => planes.close(),
  decide: () => rating.decide(!rating.isDeciding).then(refresh),
  'open-results': () => showResults(by('results'), by('results-body')),
  leave: async () => { await post('/api/leave'); location.reload() },
  invite: async () => {
    const { token: fresh } = await post('/api/invite')
    by('results-note').textContent = `For one rater, once: ${location.origin}/#token=${fresh}`
  },
}
for (const [id, action] of Object.entries(clicks)) {
  by(id).addEventListener('click', (event) => {
    if (event.detail) by('stage').focus()
    action()
  })
}
for (const button of codes) {
  button.addEventListener('click', (event) => {
    if (event.detail) by('stage').focus() // after a mouse, so that the space bar does not press it again
    rate(Number(button.dataset.code))
  })
}
by('opacity').addEventListener('input', (event) => setOverlay(event.target.value / 100, true))
by('enter-form').addEventListener('submit', enter)
by('flag-form').addEventListener('submit', saveFlag)
by('flag').addEventListener('keydown', (event) => {
  if (event.target === by('flag-text') || event.target.matches('button')) return
  const box = by('reasons').querySelectorAll('input')[Number(event.key) - 1] // digits choose reasons
  if (box) box.checked = !box.checked
  else if (event.key === 'Enter') by('flag-form').requestSubmit()
  else return
  event.preventDefault()
})
by('flag-text').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey) { event.preventDefault(); by('flag-form').requestSubmit() }
})
for (const button of document.querySelectorAll('[data-close]')) {
  button.addEventListener('click', () => button.closest('dialog').close())
}
by('import').addEventListener('change', async (event) => {
  const [file] = event.target.files
  event.target.value = ''
  if (!file) return
  try {
    const answer = await post('/api/import', await file.text(), 'text/csv')
    by('results-note').textContent = answer.text
    await showResults(by('results'), by('results-body'))
  } catch (error) {
    by('results-note').textContent = error.message
  }
})

setOverlay(0.4, true)
begin()
