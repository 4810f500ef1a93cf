// Sends a case that was chosen; tells the server who is taken out of it, or that a new one is begun.
const say = (text) => (element.querySelector('[role=status]').textContent = text);
element.addEventListener('change', async (event) => {
  const file = event.target.files?.[0];
  if (!file) return;
  event.target.value = '';
  try {
    const answer = await fetch('case', {method: 'POST', body: file});
    const text = await answer.text();
    if (answer.ok) trigger('opened', {token: text});
    else say(text);
  } catch {
    say('The server does not answer. Is it still running?');
  }
});
element.addEventListener('click', (event) => {
  const {drop, act} = event.target.closest('button')?.dataset ?? {};
  if (drop || act) trigger('act', {act: act ?? 'drop', drop});
});
