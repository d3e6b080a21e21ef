// The montage: two canvases, CT below and organs above, that are zoomed and moved together.

const LARGEST_SCALE = 12
const MOVED = 5 // pixels after which a press is a drag and no click
const DOUBLE = 350 // milliseconds in which a second click makes a double click

// An offset at which the sheet lies on the stage, or covers it where it is larger. room: stage less sheet
const within = (offset, room) => Math.min(Math.max(0, room), Math.max(Math.min(0, room), offset))

export class Stage {
  // onSlice(x, y): a click, in pixels of the montage
  constructor(stage, sheet, ct, organs, onSlice) {
    Object.assign(this, { stage, sheet, ct, organs, onSlice })
    this.opacity = 0.4
    this.isShown = true
    this.pointers = new Map()
    this.fit()
    new ResizeObserver(() => this.fit()).observe(stage)
    stage.addEventListener('wheel', (event) => this.wheel(event), { passive: false })
    stage.addEventListener('pointerdown', (event) => this.press(event))
    stage.addEventListener('pointermove', (event) => this.move(event))
    for (const name of ['pointerup', 'pointercancel']) stage.addEventListener(name, (event) => this.release(event))
    stage.addEventListener('dblclick', () => this.fit())
  }

  draw(layers) {
    this.forgetClick()
    const [ct, organs] = layers
    const isOtherSize = ct.width !== this.ct.width || ct.height !== this.ct.height
    for (const canvas of [this.ct, this.organs]) {
      if (isOtherSize) Object.assign(canvas, { width: ct.width, height: ct.height })
    }
    this.ct.getContext('2d').drawImage(ct, 0, 0)
    const above = this.organs.getContext('2d')
    above.clearRect(0, 0, this.organs.width, this.organs.height)
    if (organs) above.drawImage(organs, 0, 0)
    this.fit()
  }

  forgetClick() {
    clearTimeout(this.clicked)
    this.clicked = null
    this.start = null
  }

  clear() {
    this.forgetClick()
    for (const canvas of [this.ct, this.organs]) canvas.getContext('2d').clearRect(0, 0, canvas.width, canvas.height)
  }

  setOverlay(opacity, isShown = true) {
    this.opacity = Math.round(100 * Math.min(1, Math.max(0, opacity))) / 100
    this.isShown = isShown
    this.organs.style.opacity = this.isShown ? this.opacity : 0
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.stage
    this.smallest = Math.min(width / this.ct.width, height / this.ct.height) || 1
    this.scale = this.smallest
    this.x = (width - this.ct.width * this.scale) / 2
    this.y = (height - this.ct.height * this.scale) / 2
    this.place()
  }

  place() {
    const { clientWidth: width, clientHeight: height } = this.stage
    this.x = within(this.x, width - this.ct.width * this.scale)
    this.y = within(this.y, height - this.ct.height * this.scale)
    this.sheet.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`
  }

  zoom(factor, x, y) {
    const scale = Math.min(this.smallest * LARGEST_SCALE, Math.max(this.smallest, this.scale * factor))
    if (scale === this.smallest) return this.fit()
    this.x = x - (x - this.x) * (scale / this.scale)
    this.y = y - (y - this.y) * (scale / this.scale)
    this.scale = scale
    this.place()
  }

  zoomMiddle(factor) { this.zoom(factor, this.stage.clientWidth / 2, this.stage.clientHeight / 2) }

  at(event) {
    const box = this.stage.getBoundingClientRect()
    return [event.clientX - box.left, event.clientY - box.top]
  }

  wheel(event) {
    event.preventDefault()
    const lines = event.deltaMode === 1 ? 30 : 1
    this.zoom(Math.exp(-event.deltaY * lines * 0.0018), ...this.at(event))
  }

  press(event) {
    if (event.button !== 0) return
    this.stage.setPointerCapture(event.pointerId)
    this.pointers.set(event.pointerId, this.at(event))
    this.start = this.pointers.size === 1 ? this.at(event) : null
  }

  move(event) {
    const before = this.pointers.get(event.pointerId)
    if (!before) return
    const now = this.at(event)
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1]
      const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1
      this.zoom(distance(now) / distance(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2)
    } else if (!this.start || Math.hypot(now[0] - this.start[0], now[1] - this.start[1]) > MOVED) {
      this.start = null
      this.stage.classList.add('dragging')
      this.x += now[0] - before[0]
      this.y += now[1] - before[1]
      this.place()
    } else return
    this.pointers.set(event.pointerId, now)
  }

  release(event) {
    if (!this.pointers.delete(event.pointerId)) return
    this.stage.classList.remove('dragging')
    if (!this.start || event.type !== 'pointerup') return
    const [x, y] = [(this.start[0] - this.x) / this.scale, (this.start[1] - this.y) / this.scale]
    this.start = null
    if (this.clicked) return this.forgetClick() // the second of a double click
    this.clicked = setTimeout(() => {
      this.clicked = null
      if (x >= 0 && y >= 0 && x < this.ct.width && y < this.ct.height) this.onSlice(x, y)
    }, DOUBLE)
  }
}
