// While a new password is typed, the server says how good it is. Nothing of it is kept, here or there.
const PAUSE = 400

for (const strength of document.querySelectorAll('[data-strength]')) {
  const input = document.getElementById(strength.dataset.for)
  const meter = strength.querySelector('meter')
  const sentence = strength.querySelector('p')
  let timer
  let asking

  const ask = async () => {
    asking = new AbortController()
    const body = new URLSearchParams({ password: input.value, csrf_token: input.form.elements.csrf_token.value })
    const response = await fetch(strength.dataset.strength, { method: 'POST', body, signal: asking.signal })
    if (!response.ok || response.redirected) throw new Error('no answer')
    const judged = await response.json()
    meter.value = judged.score
    sentence.textContent = judged.sentence
    strength.hidden = false
  }

  const stop = () => {
    clearTimeout(timer)
    asking?.abort()
  }

  // The answer to the form may bring another session, and with it this question would be a stranger's.
  input.form.addEventListener('submit', stop)

  input.addEventListener('input', () => {
    stop()
    if (!input.value) {
      strength.hidden = true
      return
    }
    // Without an answer there is no meter: the server judges when the form is sent.
    timer = setTimeout(() => ask().catch(error => { if (error.name !== 'AbortError') strength.hidden = true }), PAUSE)
  })
}
