const input = document.querySelector('input[type=file]')
const frame = document.querySelector('.avatar.large')
let url

input?.addEventListener('change', () => {
  URL.revokeObjectURL(url)
  const [file] = input.files
  if (!file?.type.startsWith('image/')) return
  url = URL.createObjectURL(file)
  const image = document.createElement('img')
  image.alt = ''
  image.src = url
  frame.replaceChildren(image)
})
