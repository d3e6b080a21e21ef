// The case in three planes that the server cuts at full resolution: linked, with windows, opacity and a wheel for slices.

import { get, picture } from '/api.js'
import { keep, kept } from '/kept.js'
import { openViewer } from '/viewer.js'

// axis of the volume that a plane runs through, and the axes along its columns and rows
const VIEWS = {
  axial: { through: 2, across: 0, down: 1, sides: ['R', 'L', 'A', 'P'] },
  coronal: { through: 1, across: 0, down: 2, sides: ['R', 'L', 'S', 'I'] },
  sagittal: { through: 0, across: 1, down: 2, sides: ['A', 'P', 'S', 'I'] },
}
const KEPT = 60 // pictures
const NOTCH = 40 // pixels of a wheel for one slice; a trackpad gives fewer at a time

export class Planes {
  constructor(section, views, windows) {
    Object.assign(this, { section, windows })
    this.isOpen = false
    this.visit = 0 // so that what comes late is not shown in another case
    this.opacity = 0
    this.window = kept('window', '')
    this.views = {}
    for (const [name, view] of Object.entries(VIEWS)) this.views[name] = this.makeView(views, name, view)
    this.used = this.views.axial
    this.niivueCanvas = views.appendChild(Object.assign(document.createElement('canvas'), { id: 'niivue' }))
    new ResizeObserver(() => { if (this.isOpen) this.layOut() }).observe(views)
  }

  makeView(parent, name, view) {
    const box = document.createElement('div')
    box.className = 'view'
    box.dataset.plane = name
    const pane = box.appendChild(Object.assign(document.createElement('div'), { className: 'pane' }))
    const make = (tag, options) => pane.appendChild(Object.assign(document.createElement(tag), options))
    const ct = make('canvas', {}), organs = make('canvas', {}), lines = make('canvas', { className: 'lines' })
    const label = make('p', { ariaLive: 'polite' })
    const sides = make('div', { className: 'sides' })
    for (const side of view.sides) sides.append(Object.assign(document.createElement('span'), { textContent: side }))
    const slider = box.appendChild(Object.assign(document.createElement('input'), { type: 'range', min: 0, step: 1 }))
    slider.setAttribute('aria-label', `${name} slice`)
    slider.addEventListener('input', () => this.goTo(view.through, Number(slider.value)))
    const made = { ...view, name, pane, ct, organs, lines, label, slider, wanted: 0, turned: 0 }
    box.addEventListener('wheel', (event) => this.wheel(made, event), { passive: false })
    const point = (event) => { if (event.buttons & 1) this.point(name, event) }
    pane.addEventListener('pointerdown', point)
    pane.addEventListener('pointermove', point)
    box.addEventListener('pointerdown', () => { this.used = made })
    parent.append(box)
    return made
  }

  // x and y: of the montage; the middle of the case without them
  async open(turn, x, y) {
    const visit = ++this.visit
    const isOver = () => visit !== this.visit
    this.turn = turn
    this.isOpen = true
    this.forget()
    this.section.hidden = false
    document.getElementById('work').inert = true
    this.section.focus({ focusVisible: false })
    try {
      const at = x === undefined ? {} : { x: Math.round(x), y: Math.round(y) }
      const info = await get(`/api/planes/${turn.place}`, { version: turn.version, ...at })
      if (isOver()) return
      this.info = info
    } catch (error) {
      if (!isOver()) this.say(error.message)
      return
    }
    this.voxel = this.info.voxel
    if (!this.info.windows[this.window]) [this.window] = Object.keys(this.info.windows)
    this.windows.replaceChildren(...Object.keys(this.info.windows).map((name) => {
      const button = Object.assign(document.createElement('button'), { textContent: name })
      button.addEventListener('click', (event) => {
        if (event.detail) this.section.focus({ focusVisible: false })
        this.setWindow(name)
      })
      return button
    }))
    await this.useNiivue(turn, isOver)
    if (isOver()) return
    this.setWindow(this.window)
    this.layOut()
  }

  // Nothing of the case before may be seen beside this one.
  forget() {
    this.info = this.niivue = null
    this.section.classList.remove('niivue', 'loading')
    this.windows.replaceChildren()
    for (const layers of this.pictures?.values() ?? []) layers.then((all) => all.forEach((one) => one.close())).catch(() => {})
    this.pictures = new Map()
    for (const view of Object.values(this.views)) {
      view.wanted += 1
      for (const canvas of [view.ct, view.organs, view.lines]) canvas.getContext('2d').clearRect(0, 0, canvas.width, canvas.height)
    }
    this.say('loading…')
  }

  say(text) {
    for (const view of Object.values(this.views)) view.label.textContent = `${view.name}: ${text}`
  }

  // NiiVue instead of the server's planes, where it is installed and the browser has WebGL.
  async useNiivue(turn, isOver) {
    if (!this.info.niivue || this.isBroken || !document.createElement('canvas').getContext('webgl2')) return
    try {
      this.section.classList.add('niivue', 'loading') // NiiVue takes the size of a canvas that has a place
      this.viewer ||= await openViewer(this.niivueCanvas)
      await this.loadViewer(turn, isOver)
    } catch (error) {
      if (isOver()) return
      console.warn('NiiVue does not work here; the server draws the planes:', error)
      this.isBroken = true
      this.section.classList.remove('niivue')
    } finally {
      if (!isOver()) this.section.classList.remove('loading')
    }
  }

  // One case at a time, so that none that was left comes over a later one.
  async loadViewer(turn, isOver) {
    const before = this.loading
    const { info } = this
    this.loading = (async () => {
      await before?.catch(() => {})
      if (!isOver()) await this.viewer.load(turn, info, this.opacity)
    })()
    await this.loading
    if (isOver()) return
    this.niivue = this.viewer
    this.setOpacity(this.opacity)
  }

  close() {
    if (!this.isOpen) return
    this.visit += 1
    this.isOpen = false
    this.forget()
    this.section.hidden = true
    document.getElementById('work').inert = false
    document.getElementById('stage').focus({ focusVisible: false })
  }

  setWindow(name) {
    this.window = name
    keep('window', name)
    for (const button of this.windows.children) button.setAttribute('aria-pressed', String(button.textContent === name))
    if (this.niivue) return this.niivue.setWindow(...this.info.windows[name])
    for (const view of Object.values(this.views)) this.draw(view)
  }

  setOpacity(opacity) {
    this.opacity = opacity
    this.niivue?.setOpacity(opacity)
    for (const view of Object.values(this.views)) view.organs.style.opacity = opacity
  }

  wheel(view, event) {
    event.preventDefault()
    if (event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return
    const turned = event.deltaY * (event.deltaMode ? NOTCH : 1)
    view.turned = Math.sign(turned) === Math.sign(view.turned) ? view.turned + turned : turned
    if (Math.abs(view.turned) < NOTCH) return
    view.turned = 0
    this.used = view
    this.step(turned < 0 ? 1 : -1)
  }

  // Slices of the plane that was used last.
  step(slices) {
    if (this.niivue) this.niivue.step(slices)
    else if (this.info) this.goTo(this.used.through, this.voxel[this.used.through] + slices)
  }

  goTo(axis, index) {
    if (!this.info) return
    this.voxel[axis] = Math.min(this.info.shape[axis] - 1, Math.max(0, index))
    for (const view of Object.values(this.views)) {
      if (view.through === axis) this.draw(view)
      else this.drawLines(view)
    }
  }

  // A press in one plane brings the others there. Columns run against the axes, as right and front are on the left; rows too.
  point(name, event) {
    if (!this.info) return
    const view = this.views[name]
    const box = view.ct.getBoundingClientRect()
    const [across, down] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
    if (across < 0 || down < 0 || across >= 1 || down >= 1) return
    const { shape } = this.info
    this.goTo(view.across, Math.floor((1 - across) * shape[view.across]))
    this.goTo(view.down, Math.floor((1 - down) * shape[view.down]))
  }

  layOut() {
    if (!this.info || this.niivue) return
    for (const view of Object.values(this.views)) {
      const { shape, spacing } = this.info
      const [width, height] = [view.across, view.down].map((axis) => shape[axis] * spacing[axis])
      const scale = Math.min(view.pane.clientWidth / width, view.pane.clientHeight / height)
      for (const canvas of [view.ct, view.organs]) {
        Object.assign(canvas.style, {
          width: `${width * scale}px`, height: `${height * scale}px`,
          left: `${(view.pane.clientWidth - width * scale) / 2}px`, top: `${(view.pane.clientHeight - height * scale) / 2}px`,
        })
      }
      view.slider.max = shape[view.through] - 1
      this.draw(view)
    }
  }

  load(view, index) {
    const key = `${view.name}/${index}/${this.window}`
    if (!this.pictures.has(key)) {
      const path = `/api/planes/${this.turn.place}/${view.name}/${index}`
      const query = { version: this.turn.version, window: this.window }
      const layers = Promise.all(['ct', 'organs'].map((layer) => picture(`${path}/${layer}`, query)))
      layers.catch(() => this.pictures?.delete(key))
      this.pictures.set(key, layers)
      const [oldest] = this.pictures.keys()
      if (this.pictures.size > KEPT) this.pictures.delete(oldest)
    }
    return this.pictures.get(key)
  }

  async draw(view) {
    if (!this.info) return
    const index = this.voxel[view.through]
    view.slider.value = index
    view.label.textContent = `${view.name} ${index + 1} / ${this.info.shape[view.through]}`
    const wanted = ++view.wanted
    try {
      const [ct, organs] = await this.load(view, index)
      if (wanted !== view.wanted || !this.isOpen) return
      for (const [canvas, layer] of [[view.ct, ct], [view.organs, organs]]) {
        Object.assign(canvas, { width: layer.width, height: layer.height })
        canvas.getContext('2d').drawImage(layer, 0, 0)
      }
      for (const step of [1, -1]) {
        const next = index + step
        if (next >= 0 && next < this.info.shape[view.through]) this.load(view, next).catch(() => {})
      }
    } catch (error) {
      if (wanted !== view.wanted || !this.isOpen) return
      for (const canvas of [view.ct, view.organs]) canvas.getContext('2d').clearRect(0, 0, canvas.width, canvas.height)
      view.label.textContent = `${view.name} ${index + 1}: ${error.message}`
    }
    this.drawLines(view)
  }

  drawLines(view) {
    const { lines, pane, ct } = view
    Object.assign(lines, { width: pane.clientWidth, height: pane.clientHeight })
    const { shape } = this.info
    const at = (axis, length) => (1 - (this.voxel[axis] + 0.5) / shape[axis]) * length
    const [left, top] = [parseFloat(ct.style.left), parseFloat(ct.style.top)]
    const x = left + at(view.across, parseFloat(ct.style.width)), y = top + at(view.down, parseFloat(ct.style.height))
    const context = lines.getContext('2d')
    context.strokeStyle = 'rgb(108 182 255 / 55%)'
    context.beginPath()
    for (const [x1, y1, x2, y2] of [[x, 0, x, y - 9], [x, y + 9, x, lines.height], [0, y, x - 9, y], [x + 9, y, lines.width, y]]) {
      context.moveTo(x1, y1)
      context.lineTo(x2, y2)
    }
    context.stroke()
  }
}
