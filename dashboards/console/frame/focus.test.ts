import { beforeAll, beforeEach, expect, it } from 'vitest';

import { keepFocus } from './focus';

const button = (id: string, home: HTMLElement = document.body): HTMLButtonElement => {
  const made = document.createElement('button');
  made.id = id;
  home.append(made);
  return made;
};
const told = () => new Promise((go) => setTimeout(go));

beforeAll(keepFocus);
beforeEach(() => {
  document.body.innerHTML = '<main id="main" tabindex="-1"></main>';
});

it('goes back to where the dialog was opened from', async () => {
  button('other').focus();
  button('opens').focus();
  const dialog = document.createElement('div');
  document.body.append(dialog);
  button('inside', dialog).focus();
  button('beside', dialog).focus();
  dialog.remove();
  await told();
  expect(document.activeElement?.id).toBe('opens');
});

it('goes to the page where all of that is gone or cannot be pressed', async () => {
  const shut = button('shut');
  shut.focus();
  const deleted = button('deleted');
  deleted.focus();
  shut.disabled = true;
  deleted.remove();
  await told();
  expect(document.activeElement?.id).toBe('main');
});

it('stays in the dialog that is open, whatever was there before', async () => {
  button('behind').focus();
  const dialog = document.createElement('section');
  dialog.setAttribute('role', 'dialog');
  dialog.setAttribute('aria-modal', 'true');
  document.body.append(dialog);
  button('other', dialog);
  const form = document.createElement('form');
  dialog.append(form);
  button('sent', form).focus();
  form.remove();
  await told();
  expect(document.activeElement?.id).toBe('other');
  document.getElementById('other')?.remove();
  await told();
  expect(document.activeElement).toBe(dialog);
});

it('comes back to a button that could not be pressed while it worked', async () => {
  const works = button('works');
  works.focus();
  // What a browser does when it is disabled, and the DOM of the tests does not.
  works.blur();
  works.disabled = true;
  await told();
  expect(document.activeElement).toBe(document.body);
  works.disabled = false;
  await told();
  expect(document.activeElement?.id).toBe('works');
  // Another one that can be pressed again has no part in it.
  const other = button('shut');
  works.blur();
  other.disabled = true;
  other.disabled = false;
  await told();
  expect(document.activeElement).toBe(document.body);
});

it('leaves it where somebody put it', async () => {
  const gone = button('gone');
  gone.focus();
  button('kept').focus();
  gone.remove();
  await told();
  expect(document.activeElement?.id).toBe('kept');
});
