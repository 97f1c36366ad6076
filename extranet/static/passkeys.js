// A form with data-passkey ("get" or "create") asks its own address what to sign, and sends what the passkey answered.
const decode = text => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), letter => letter.charCodeAt())
const encode = bytes => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
const keys = list => list?.map(key => ({ ...key, id: decode(key.id) }))

const parse = (kind, json) => {
  const native = window.PublicKeyCredential[kind === 'get' ? 'parseRequestOptionsFromJSON' : 'parseCreationOptionsFromJSON']
  if (native) return native.call(window.PublicKeyCredential, json)
  const options = { ...json, challenge: decode(json.challenge) }
  if (kind === 'get') return { ...options, allowCredentials: keys(json.allowCredentials) }
  return { ...options, user: { ...json.user, id: decode(json.user.id) }, excludeCredentials: keys(json.excludeCredentials) }
}

const written = credential => {
  if (credential.toJSON) return credential.toJSON()
  const { response } = credential
  const answer = { transports: response.getTransports?.() }
  for (const part of ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle']) {
    if (response[part]) answer[part] = encode(response[part])
  }
  return { id: credential.id, rawId: encode(credential.rawId), type: credential.type, response: answer }
}

let waiting
const ask = async (form, more = {}) => {
  waiting?.abort()
  waiting = new AbortController()
  const { signal } = waiting
  const kind = form.dataset.passkey
  const response = await fetch(form.action, { signal })
  // Signed out, or to be confirmed first: the page itself leads there.
  if (response.redirected) return location.reload()
  const publicKey = parse(kind, await response.json())
  const credential = await navigator.credentials[kind]({ publicKey, signal, ...more })
  form.elements.credential.value = JSON.stringify(written(credential))
  form.submit()
}

for (const form of window.PublicKeyCredential ? document.querySelectorAll('form[data-passkey]') : []) {
  form.hidden = false
  const button = form.querySelector('button[type=button]')
  const trouble = form.querySelector('[role=alert]')
  button.addEventListener('click', async () => {
    if (!form.reportValidity()) return
    button.disabled = true
    trouble.hidden = true
    try { await ask(form) } catch { trouble.hidden = false }
    button.disabled = false
  })
  if (!form.hasAttribute('data-offer')) continue
  // The browser offers passkeys in the name field. A challenge is good for five minutes, so it is asked for anew.
  const offer = () => ask(form, { mediation: 'conditional' }).catch(() => {})
  window.PublicKeyCredential.isConditionalMediationAvailable?.().then(can => {
    if (!can) return
    offer()
    setInterval(() => button.disabled || document.hidden || offer(), 240_000)
  })
}
