// The case in three planes that the server cuts at full resolution: linked, with windows, opacity and a wheel for slices.

import { get, picture } from '/api.js'
import { openViewer } from '/viewer.js'

// axis of the volume that a plane runs through, and the axes along its columns and rows
const VIEWS = {
  axial: { through: 2, across: 0, down: 1, sides: ['R', 'L', 'A', 'P'] },
  coronal: { through: 1, across: 0, down: 2, sides: ['R', 'L', 'S', 'I'] },
  sagittal: { through: 0, across: 1, down: 2, sides: ['A', 'P', 'S', 'I'] },
}
const KEPT = 60 // pictures

export class Planes {
  constructor(section, views, windows, opacity) {
    Object.assign(this, { section, views, windows, opacity })
    this.isOpen = false
    this.views = {}
    for (const [name, view] of Object.entries(VIEWS)) this.views[name] = this.makeView(views, name, view)
    opacity.addEventListener('input', () => this.setOpacity(opacity.value / 100))
    this.niivueCanvas = views.appendChild(Object.assign(document.createElement('canvas'), { id: 'niivue' }))
    new ResizeObserver(() => { if (this.isOpen) this.layOut() }).observe(views)
  }

  makeView(parent, name, view) {
    const box = document.createElement('div')
    box.className = 'view'
    box.dataset.plane = name
    const make = (tag, options) => box.appendChild(Object.assign(document.createElement(tag), options))
    const ct = make('canvas', {}), organs = make('canvas', {}), lines = make('canvas', { className: 'lines' })
    const label = make('p', {})
    const sides = make('div', { className: 'sides' })
    for (const side of view.sides) sides.append(Object.assign(document.createElement('span'), { textContent: side }))
    const slider = make('input', { type: 'range', min: 0, step: 1 })
    slider.setAttribute('aria-label', `${name} slice`)
    slider.addEventListener('input', () => this.goTo(view.through, Number(slider.value)))
    box.addEventListener('wheel', (event) => {
      event.preventDefault()
      this.goTo(view.through, this.voxel[view.through] + (event.deltaY < 0 ? 1 : -1))
    }, { passive: false })
    const point = (event) => { if (event.buttons & 1 && event.target !== slider) this.point(name, event) }
    box.addEventListener('pointerdown', point)
    box.addEventListener('pointermove', point)
    parent.append(box)
    return { ...view, name, box, ct, organs, lines, label, slider, wanted: 0 }
  }

  async open(turn, x, y, opacity) {
    this.turn = turn
    this.pictures = new Map()
    this.isOpen = true
    this.section.hidden = false
    for (const view of Object.values(this.views)) view.label.textContent = `${view.name} …`
    this.opacity.value = Math.round(opacity * 100)
    this.setOpacity(opacity)
    try {
      const query = { version: turn.version, x: Math.round(x), y: Math.round(y) }
      this.info = await get(`/api/planes/${turn.place}`, query)
    } catch (error) {
      for (const view of Object.values(this.views)) view.label.textContent = error.message
      return
    }
    if (!this.isOpen || this.turn !== turn) return
    this.voxel = this.info.voxel
    this.window ||= Object.keys(this.info.windows)[0]
    this.windows.replaceChildren(...Object.keys(this.info.windows).map((name) => {
      const button = Object.assign(document.createElement('button'), { textContent: name })
      button.addEventListener('click', () => this.setWindow(name))
      return button
    }))
    await this.useNiivue(turn)
    if (!this.isOpen || this.turn !== turn) return
    this.setWindow(this.window)
    this.layOut()
  }

  // NiiVue instead of the server's planes, where it is installed and the browser has WebGL.
  async useNiivue(turn) {
    this.niivue = null
    this.section.classList.remove('niivue')
    if (!this.info.niivue || this.isBroken || !document.createElement('canvas').getContext('webgl2')) return
    try {
      this.section.classList.add('niivue') // NiiVue takes the size of a canvas that can be seen
      this.viewer ||= await openViewer(this.niivueCanvas)
      await this.viewer.load(turn, this.info)
      this.niivue = this.viewer
      this.setOpacity(this.opacity.value / 100)
    } catch (error) {
      console.warn('NiiVue does not work here; the server draws the planes:', error)
      this.isBroken = true
      this.section.classList.remove('niivue')
    }
  }

  close() {
    this.isOpen = false
    this.section.hidden = true
    for (const layers of this.pictures.values()) layers.then((all) => all.forEach((one) => one.close())).catch(() => {})
    this.pictures = new Map()
  }

  setWindow(name) {
    this.window = name
    for (const button of this.windows.children) button.setAttribute('aria-pressed', String(button.textContent === name))
    if (this.niivue) return this.niivue.setWindow(...this.info.windows[name])
    for (const view of Object.values(this.views)) this.draw(view)
  }

  setOpacity(opacity) {
    this.niivue?.setOpacity(opacity)
    for (const view of Object.values(this.views)) view.organs.style.opacity = opacity
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
      const scale = Math.min(view.box.clientWidth / width, view.box.clientHeight / height)
      for (const canvas of [view.ct, view.organs]) {
        Object.assign(canvas.style, {
          width: `${width * scale}px`, height: `${height * scale}px`,
          left: `${(view.box.clientWidth - width * scale) / 2}px`, top: `${(view.box.clientHeight - height * scale) / 2}px`,
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
      view.label.textContent = error.message
    }
    this.drawLines(view)
  }

  drawLines(view) {
    const { lines, box, ct } = view
    Object.assign(lines, { width: box.clientWidth, height: box.clientHeight })
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
