const root = document.documentElement

for (const box of document.querySelectorAll('[data-preview]')) {
  box.addEventListener('change', ({ target }) => {
    const tick = target.type === 'checkbox'
    root.dataset[box.dataset.preview] = tick ? (target.checked ? 'reduce' : 'normal') : target.value
  })
}

const offer = document.querySelector('[data-zone-for]')
const select = offer && document.getElementById(offer.dataset.zoneFor)
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone

if (select && select.value !== zone && [...select.options].some(option => option.value === zone)) {
  offer.querySelector('strong').textContent = zone
  offer.querySelector('button').addEventListener('click', () => {
    select.value = zone
    offer.hidden = true
    select.focus()
  })
  offer.hidden = false
}
