/** So far back it is known where the keyboard was. */
const TRAIL = 40;

const canTakeIt = (element: HTMLElement): boolean =>
  element.isConnected && !element.matches(':disabled, [aria-hidden] *, [inert] *') && element.checkVisibility({ visibilityProperty: true });

/** The dialog that is open, the topmost where there are several. What is behind it does not take the keyboard. */
const dialog = (): HTMLElement | undefined => [...document.querySelectorAll<HTMLElement>('[role=dialog][aria-modal=true]')].findLast(canTakeIt);

/** The first thing in a dialog that can be used; the dialog, where there is none. */
function first(home: HTMLElement): HTMLElement {
  const found = [...home.querySelectorAll<HTMLElement>('input, button, select, textarea, a[href], [tabindex="0"]')].find(canTakeIt);
  if (found) return found;
  home.tabIndex = -1;
  return home;
}

/**
 * Keeps the keyboard somewhere. Where what had it goes away (a dialog that closes, a row that is deleted), it goes back
 * to the last place that is still there, and otherwise to the page; while a dialog is open, to a place in it. A button
 * that cannot be pressed while it works gives the keyboard away, and has it back when it can be pressed again.
 */
export function keepFocus(): void {
  const trail: HTMLElement[] = [];
  let last: HTMLElement | undefined;
  document.addEventListener('focusin', ({ target }) => {
    if (!(target instanceof HTMLElement)) return;
    last = target;
    const known = trail.indexOf(target);
    if (known >= 0) trail.splice(known, 1);
    trail.push(target);
    if (trail.length > TRAIL) trail.shift();
  });
  const look = (changes: readonly MutationRecord[]) => {
    if (last === undefined || document.activeElement !== document.body) return;
    if (last.isConnected) {
      if (changes.some((change) => change.type === 'attributes' && change.target === last) && canTakeIt(last)) last.focus({ preventScroll: true });
      return;
    }
    last = undefined;
    const over = dialog();
    const back = trail.findLast((one) => canTakeIt(one) && (over === undefined || over.contains(one)));
    (back ?? (over ? first(over) : document.getElementById('main')))?.focus({ preventScroll: true });
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributeFilter: ['disabled'] });
}
