const template = document.getElementById('reveal')

for (const input of document.querySelectorAll('.secret input')) {
  const button = template.content.cloneNode(true).firstElementChild
  button.addEventListener('click', () => {
    const shown = input.type === 'password'
    input.type = shown ? 'text' : 'password'
    button.setAttribute('aria-pressed', String(shown))
  })
  // A browser must never offer to remember a password as ordinary text.
  input.form.addEventListener('submit', () => { input.type = 'password' })
  input.after(button)
}

document.addEventListener('submit', event => {
  const form = event.target
  if (form.method !== 'post') return
  if (form.dataset.sent) return event.preventDefault()
  form.dataset.sent = 'yes'
  event.submitter?.setAttribute('aria-disabled', 'true')
})

// The back button may bring the page back from memory, with its forms still marked as sent.
addEventListener('pageshow', () => {
  for (const form of document.querySelectorAll('form[data-sent]')) {
    delete form.dataset.sent
    form.querySelector('[aria-disabled]')?.removeAttribute('aria-disabled')
  }
})
