// Counts, pace, agreement and consistency as tables.

import { get } from '/api.js'

const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text })

function table(heads, rows) {
  const element = document.createElement('table')
  for (const [number, cells] of [heads, ...rows].entries()) {
    const row = element.insertRow()
    for (const cell of cells) {
      const place = make(number ? 'td' : 'th', cell)
      if (!number) place.scope = 'col'
      row.append(place)
    }
  }
  return element
}

const percent = (part, whole) => whole ? `${part} (${Math.round(100 * part / whole)} %)` : '0'
const interval = ([value, low, high]) => value === null ? 'not defined'
  : low === null ? value.toFixed(2) : `${value.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`

export async function showResults(dialog, body) {
  let found
  try {
    found = await get('/api/results')
  } catch (error) {
    found = null
    body.replaceChildren(make('p', error.message))
  }
  if (found) {
    const rest = [`${found.items} montages, ${found.unrated} of them without a code`]
    if (found.set_aside) rest.push(`${found.set_aside} cannot be shown`)
    if (found.to_decide) rest.push(`${found.to_decide} wait for a decision`)
    body.replaceChildren(
      make('p', `${rest.join('; ')}.`),
      make('h3', 'Codes'),
      table(['Rater', '0 success', '1 acceptable', '2 failure', 'Seconds (median)', 'Same code when shown again'], found.raters.map((one) => {
        const all = one.counts.reduce((sum, count) => sum + count, 0)
        const { pairs, same, weighted_kappa: kappa } = one.consistency
        const again = pairs ? `${same} of ${pairs}${kappa === null ? '' : `, kappa ${kappa.toFixed(2)}`}` : '–'
        return [one.rater, ...one.counts.map((count) => percent(count, all)), one.median_seconds?.toFixed(1) ?? '–', again]
      })),
    )
    if (found.agreement.length) {
      body.append(
        make('h3', 'Agreement (95 % interval)'),
        table(['Raters', 'Both coded', 'Same code', 'Kappa', 'Kappa, quadratic weights'], found.agreement.map((pair) =>
          [pair.raters.join(' and '), pair.ratings, interval(pair.agreement), interval(pair.kappa), interval(pair.weighted_kappa)])),
      )
    }
  }
  if (!dialog.open) dialog.showModal()
}
