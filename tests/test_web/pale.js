// Texts of the page whose contrast is below 4.5, and how many letters there are.
const rgb = (text) => [...text.match(/[\d.]+/g).map(Number), 1].slice(0, 4);
const over = (a, b) => a.slice(0, 3).map((v, i) => v * a[3] + b[i] * (1 - a[3]));
const linear = (v) => (v <= 10.3 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
const pale = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const text = texts.currentNode.textContent.trim(), at = texts.currentNode.parentElement;
  if (!text || at.closest('script, style, :disabled') || !at.checkVisibility()) continue;
  let ground = [255, 255, 255];
  const layers = [];
  for (let e = at; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
  for (const layer of layers) ground = over(rgb(layer), ground);
  const lights = [light(over(rgb(getComputedStyle(at).color), ground)), light(ground)];
  const contrast = Math.max(...lights) / Math.min(...lights);
  if (contrast < 4.5) pale.push([text, contrast.toFixed(2)]);
}
return [pale, document.body.innerText.length];
