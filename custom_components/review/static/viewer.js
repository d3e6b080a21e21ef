// NiiVue with what the page needs of it.

export async function openViewer(canvas) {
  const { Niivue } = await import('/niivue.js')
  const viewer = new Niivue({
    isRadiologicalConvention: true, backColor: [0, 0, 0, 1], crosshairColor: [0.42, 0.71, 1, 0.6], show3Dcrosshair: false,
    sagittalNoseLeft: true, crosshairWidth: 1, crosshairWidthUnit: 'mm', multiplanarLayout: 3, multiplanarShowRender: 0,
    dragAndDropEnabled: false, isNearestInterpolation: false, logLevel: 'error',
  })
  await viewer.attachToCanvas(canvas)
  if (!viewer.gl) throw new Error('no WebGL')
  viewer.setSliceType(viewer.sliceTypeMultiplanar)
  return new Viewer(viewer)
}

class Viewer {
  constructor(viewer) { this.viewer = viewer }

  async load(turn, info, opacity) {
    const { viewer } = this
    const url = (layer) => `/api/volume/${turn.place}/${layer}?${new URLSearchParams({ version: turn.version })}`
    const [low, high] = Object.values(info.windows)[0]
    await viewer.loadVolumes([
      { url: url('ct'), name: 'ct.nii', colormap: 'gray', cal_min: low, cal_max: high },
      { url: url('organs'), name: 'organs.nii', opacity },
    ])
    if (viewer.volumes.length !== 2) throw new Error('the volumes were not read')
    viewer.volumes[1].setColormapLabel(info.colours)
    viewer.updateGLVolume()
    viewer.resizeListener()
    viewer.scene.crosshairPos = viewer.mm2frac(info.place)
    viewer.drawScene()
  }

  setWindow(low, high) {
    Object.assign(this.viewer.volumes[0], { cal_min: low, cal_max: high })
    this.viewer.updateGLVolume()
  }

  step(slices) {
    this.viewer.moveCrosshairInVox(0, 0, slices)
  }

  setOpacity(opacity) { this.viewer.setOpacity(1, opacity) }
}
