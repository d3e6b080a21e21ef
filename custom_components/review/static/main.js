// The page: keys, buttons and what stands around the montage.

import { get, post, speakFor } from '/api.js'
import { keep, kept } from '/kept.js'
import { actionOf, isRepeated, isTaken } from '/keys.js'
import { Planes } from '/planes.js'
import { Rating } from '/rating.js'
import { showResults } from '/results.js'
import { Stage } from '/stage.js'

const by = (id) => document.getElementById(id)
const codes = [...document.querySelectorAll('.code')]
const planes = new Planes(by('planes'), by('views'), by('windows'))
const stage = new Stage(by('stage'), by('sheet'), by('ct'), by('organs'), (x, y) => openPlanes(x, y))
const rating = new Rating(stage)
const OPACITY = 0.4
const NO_ADDRESS = 'Open the address that the terminal shows; it is good for one rater.'
let state = null

// entering

async function enter(event) {
  event.preventDefault()
  if (!token()) {
    by('enter-note').textContent = NO_ADDRESS
    return
  }
  speakFor('')
  try {
    await post('/api/enter', { token: token(), rater: by('rater').value })
    history.replaceState(null, '', '/')
    await begin()
    const before = state?.progress.done
    if (before) tell(`${state.rater} has coded ${before} here before. If that was not you, leave and choose another name.`)
  } catch (error) {
    by('enter-note').textContent = error.message
  }
}

const token = () => new URLSearchParams(location.hash.slice(1)).get('token') || ''

async function begin() {
  try {
    state = await get('/api/state')
  } catch (error) {
    planes.close()
    by('work').hidden = true
    by('enter').hidden = false
    if (error.status !== 401) by('enter-note').textContent = error.message
    else if (!token()) by('enter-note').textContent = NO_ADDRESS
    by('rater').focus()
    return
  }
  speakFor(state.rater, stop)
  if (token()) history.replaceState(null, '', '/') // whoever is in already keeps the token for another
  by('enter').hidden = true
  by('work').hidden = false
  by('who').textContent = by('who').title = state.rater
  for (const link of document.querySelectorAll('.export')) link.hidden = !state.exports
  showLegend()
  showProgress()
  for (const image of document.querySelectorAll('[data-example]')) image.src = `/api/example/${image.dataset.example}`
  await rating.start()
  by('stage').focus()
}

// Another rater is in now: nothing that is done here may be stored as theirs.
function stop(text) {
  if (by('stopped').open) return
  planes.close()
  by('stopped-text').textContent = text
  by('stopped').showModal()
}

async function leave() {
  try {
    const { token: fresh } = await post('/api/leave')
    history.replaceState(null, '', `/#token=${fresh}`)
    location.reload()
  } catch (error) {
    by('leaving').close()
    note(`You are still in: ${error.message}`)
  }
}

// what stands around the montage

function showLegend() {
  const organs = [...state.organs].sort((one, other) => other.judged - one.judged)
  by('legend').replaceChildren(...organs.map((organ) => {
    const item = document.createElement('li')
    const swatch = document.createElement('i')
    swatch.style.setProperty('--colour', organ.colour)
    item.classList.toggle('judged', organ.judged)
    item.append(swatch, organ.name)
    if (organ.judged) item.append(Object.assign(document.createElement('span'), { className: 'spoken', textContent: '(judged)' }))
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
  for (const id of ['skip', 'open-flag', 'toggle', 'opacity', 'zoom-in', 'zoom-out', 'reset']) by(id).disabled = !turn
  by('open-planes').disabled = !turn?.planes
  by('overlay').hidden = turn !== null && !turn.layers.includes('organs')
  setOverlay(stage.opacity || OPACITY, true) // a case without organs would look like a failure
  by('about').textContent = turn ? about(turn) : ''
  by('about').hidden = !by('about').textContent
  showFlag(turn)
  by('end').hidden = true
  if (!turn) showEnd()
}

async function showEnd() {
  await refresh()
  if (rating.turn) return
  const { done, total, to_decide: toDecide } = state.progress
  const left = rating.isDeciding ? toDecide : Math.max(0, total - done)
  const none = rating.isDeciding ? 'No more to decide.' : 'All montages are coded. Thank you!'
  const some = rating.isDeciding ? `${left} wait for a decision.` : `${left} of ${total} ${left === 1 ? 'is' : 'are'} left without a code.`
  by('message').textContent = `${left ? some : none}\nBack shows the last one again; Results has the counts${state.exports ? ' and the export' : ''}.`
  announce(by('message').textContent)
  by('show-left').hidden = !left
  by('skip').disabled = !left
  by('end').hidden = false
  by('stage').removeAttribute('data-ready')
}

function about(turn) {
  const words = [turn.adjudication ? 'Raters disagree here: please decide' : '', turn.case_id, turn.model]
  if (turn.score !== undefined) words.push(`score ${turn.score.toFixed(2)}`)
  return words.filter(Boolean).join(' · ')
}

function showFlag(turn) {
  const words = turn ? [turn.reasons.join(', '), turn.text].filter(Boolean).join(': ') : ''
  by('flag-shown').hidden = !words
  by('flag-shown').textContent = `${turn?.flagged ? 'Flag' : 'Wrong'}: ${words}`
  if (words) announce(by('flag-shown').textContent)
}

function announce(text) { by('announce').textContent = text } // to who listens to the page

let noteTimer = 0
function note(text, isLasting = false) {
  clearTimeout(noteTimer)
  by('saved').textContent = text
  by('saved').classList.toggle('slow', isLasting)
  if (!isLasting) noteTimer = setTimeout(() => { by('saved').textContent = '' }, Math.max(4000, 60 * text.length))
}

function tell(text) {
  note(text)
  announce(text)
}

// Take the note away that the page waits.
function endSlow() { if (by('saved').classList.contains('slow')) note('') }

rating.addEventListener('show', (event) => {
  by('stage').removeAttribute('data-ready')
  showTurn(event.detail)
})
rating.addEventListener('ready', () => by('stage').setAttribute('data-ready', ''))
rating.addEventListener('busy', (event) => by('stage').setAttribute('aria-busy', String(event.detail)))
rating.addEventListener('given', (event) => codes[event.detail].classList.add('given'))
rating.addEventListener('saved', (event) => {
  const { code, place, isNew } = event.detail
  changes += 1
  if (isNew && !rating.isDeciding) state.progress.done += 1
  showProgress()
  note(`${code} saved\nU undoes`)
  announce(`Case ${place}, code ${code} saved`)
  if (rating.coded % 10 === 0 || rating.isDeciding) refresh()
})
rating.addEventListener('undone', () => { changes += 1; tell('undone'); refresh() })
rating.addEventListener('flagged', (event) => { showFlag(event.detail); note('flag saved') })
rating.addEventListener('note', (event) => tell(event.detail))
rating.addEventListener('slow', (event) => note(event.detail === 'save' ? 'saving…' : 'loading…', true))
rating.addEventListener('waiting', (event) => {
  const { what, why } = event.detail
  by('alert').textContent = what === 'save'
    ? `Not saved yet: ${why}. Trying again; leave this page open.`
    : `Cannot load the next montage: ${why}. Trying again.`
  by('alert').hidden = false
})
rating.addEventListener('answered', () => {
  by('alert').hidden = true
  endSlow()
})
rating.addEventListener('failure', (event) => {
  if (event.detail.status === 401) return begin()
  for (const button of codes) button.classList.remove('given')
  tell(event.detail.message)
})
window.addEventListener('beforeunload', (event) => { if (rating.isSaving) event.preventDefault() })

// what a rater does

function setOverlay(opacity, isShown) {
  stage.setOverlay(opacity, isShown)
  const share = Math.round(stage.opacity * 100)
  const isSeen = stage.isShown && share > 0
  planes.setOpacity(isSeen ? stage.opacity : 0)
  by('opacity').value = by('planes-opacity').value = share
  by('legend').style.setProperty('--share', `${share}%`)
  by('organs-hidden').hidden = isSeen || !rating.turn?.layers.includes('organs')
  for (const id of ['toggle', 'planes-toggle']) by(id).setAttribute('aria-pressed', String(isSeen))
  if (share) keep('opacity', stage.opacity)
}

const openResults = () => showResults(by('results'), by('results-body'))

async function invite() {
  try {
    const { token: fresh } = await post('/api/invite')
    by('results-note').textContent = `For one rater, once: ${location.origin}/#token=${fresh}`
  } catch (error) {
    by('results-note').textContent = error.message
  }
}

// code: of the montage, if the flag is asked for before it is stored
function openFlag(code = null) {
  if (!rating.turn || rating.isBusy) return
  by('flag').dataset.code = code ?? ''
  by('flag-note').hidden = code !== null
  by('flag-title').textContent = code === null ? 'What is wrong?' : `Code ${code}: which organs are wrong?`
  by('reasons').replaceChildren(...state.reasons.map((reason, number) => {
    const label = document.createElement('label')
    const box = Object.assign(document.createElement('input'), { type: 'checkbox', value: reason })
    box.checked = rating.turn.reasons.includes(reason)
    label.append(box, reason, Object.assign(document.createElement('kbd'), { textContent: number + 1 }))
    return label
  }))
  by('flag-text').value = rating.turn.text
  by('save-flag').firstChild.textContent = code === null ? 'Save ' : `Save code ${code} `
  by('flag').showModal()
}

function saveFlag() {
  const reasons = [...by('reasons').querySelectorAll(':checked')].map((box) => box.value)
  const { code } = by('flag').dataset
  const text = by('flag-text').value
  if (code) rating.rate(Number(code), reasons, text)
  else rating.flag(reasons, text)
}

function rate(code) {
  const { turn } = rating
  const isExplained = turn?.flagged && turn.reasons.length > 0
  if (rating.isReady && state.asks_reasons && code > 0 && !isExplained) openFlag(code)
  else rating.rate(code)
}

// x and y: of the montage; the middle of the case without them
function openPlanes(x, y) {
  if (rating.turn?.planes && !rating.isBusy) planes.open(rating.turn, x, y)
}

function rateFromPlanes(code) {
  planes.close()
  rate(code)
}

function toggleOrgans() {
  const isSeen = stage.isShown && stage.opacity > 0
  setOverlay(stage.opacity || OPACITY, !isSeen)
  announce(`Organs ${isSeen ? 'hidden' : 'shown'}`)
}

const actions = {
  0: () => rate(0),
  1: () => rate(1),
  2: () => rate(2),
  ArrowLeft: () => rating.back(),
  Backspace: () => rating.back(),
  ArrowRight: () => rating.skip(),
  u: () => rating.undo(),
  ' ': toggleOrgans,
  '+': () => setOverlay(stage.opacity + 0.1, true),
  '=': () => setOverlay(stage.opacity + 0.1, true),
  '-': () => setOverlay(stage.opacity - 0.1, true),
  f: () => openFlag(),
  Enter: () => openPlanes(),
  '?': () => by('help').showModal(),
}

const inPlanes = {
  0: () => rateFromPlanes(0),
  1: () => rateFromPlanes(1),
  2: () => rateFromPlanes(2),
  ' ': actions[' '],
  '+': actions['+'],
  '=': actions['='],
  '-': actions['-'],
  ArrowUp: () => planes.step(1),
  ArrowDown: () => planes.step(-1),
  Escape: () => planes.close(),
  '?': actions['?'],
}

document.addEventListener('keydown', (event) => {
  if (by('work').hidden || event.ctrlKey || event.altKey || event.metaKey) return
  if (event.repeat && event.key === 'Enter' && event.target.matches('button')) event.preventDefault() // a held key is one press
  if (document.querySelector('dialog[open]') || isTaken(event)) return
  const action = actionOf(event, planes.isOpen ? inPlanes : actions)
  if (!action) return
  event.preventDefault()
  if (!event.repeat || isRepeated(event)) action()
})

const clicks = {
  back: actions.ArrowLeft, skip: actions.ArrowRight, undo: actions.u, 'open-flag': actions.f, toggle: toggleOrgans,
  'open-planes': actions.Enter, reset: () => stage.fit(), 'zoom-in': () => stage.zoomMiddle(1.5), 'zoom-out': () => stage.zoomMiddle(1 / 1.5),
  'show-left': actions.ArrowRight, 'open-help': actions['?'], 'close-planes': () => planes.close(), 'planes-toggle': toggleOrgans,
  decide: () => rating.decide(!rating.isDeciding).then(refresh),
  'open-results': openResults, 'end-results': openResults, 'open-import': () => by('import').click(),
  leave: () => by('leaving').showModal(), 'leave-now': leave, reload: () => location.reload(), invite,
}
for (const [id, action] of Object.entries(clicks)) {
  by(id).addEventListener('click', (event) => {
    if (event.detail) focusBack(event.target)
    action()
  })
}
for (const button of codes) {
  button.addEventListener('click', (event) => {
    if (event.detail) focusBack(button)
    if (event.detail <= 1) rate(Number(button.dataset.code)) // the second of a double click was not meant for the next one
  })
}

// After a mouse the keys are for the picture again, so that the space bar does not press a button once more.
function focusBack(control) {
  if (!control.closest('dialog')) by(planes.isOpen ? 'planes' : 'stage').focus({ focusVisible: false })
}

for (const id of ['opacity', 'planes-opacity']) {
  const slider = by(id)
  let isHeld = false
  slider.addEventListener('pointerdown', () => { isHeld = true })
  slider.addEventListener('input', () => setOverlay(slider.value / 100, true))
  slider.addEventListener('change', () => {
    if (isHeld) focusBack(slider) // who uses its keys stays
    isHeld = false
  })
}
by('enter-form').addEventListener('submit', enter)
by('flag-form').addEventListener('submit', saveFlag)
by('flag').addEventListener('keydown', (event) => {
  if (event.target === by('flag-text') || event.target.matches('button')) return
  const digit = /^[0-9]$/.test(event.key) ? event.key : /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1]
  const box = by('reasons').querySelectorAll('input')[Number(digit) - 1] // digits choose reasons
  if (!box && event.key !== 'Enter') return
  event.preventDefault()
  if (event.repeat) return
  if (box) box.checked = !box.checked
  else by('flag-form').requestSubmit()
})
by('flag-text').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  if (!event.repeat) by('flag-form').requestSubmit()
})
by('stopped').addEventListener('cancel', (event) => event.preventDefault())
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
    await openResults()
  } catch (error) {
    by('results-note').textContent = error.message
  }
})

setOverlay(Number(kept('opacity', OPACITY)) || OPACITY, true)
begin()
