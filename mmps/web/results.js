// Tells the server which button was clicked; after a new search, shows the hits where they are out
// of sight, as in a narrow window, unless somebody is filling in the form.
let marked = false;
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button || !button.dataset.act) return;
  const {act, id} = button.dataset;
  marked = act === 'right' || act === 'wrong' || act === 'case';
  if (act === 'open') trigger('open', {id});
  else if (act === 'case') trigger('case', {});
  else trigger('act', {act, id});
});
watch('value', () => {
  const top = element.getBoundingClientRect().top;
  const writing = document.activeElement?.matches('input:not([type=file]), textarea');
  const searched = element.querySelector('.ps-hits') !== null && !marked && !writing;
  if (searched && (top < 0 || top > window.innerHeight - 160)) element.scrollIntoView();
  marked = false;
});
