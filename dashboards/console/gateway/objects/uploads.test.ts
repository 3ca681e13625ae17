import { Problem } from '@frame/problem';
import { beforeEach, expect, test, vi } from 'vitest';

import { add, again, cancel, tidy, uploads } from './uploads';

/** Requests as they were sent, answered by hand. */
class Sent {
  static all: Sent[] = [];
  readonly headers: Record<string, string> = {};
  readonly upload: { onprogress?: (event: { loaded: number }) => void } = {};
  address = '';
  status = 0;
  responseText = '';
  onload: (() => void) | undefined;
  onabort: (() => void) | undefined;
  onloadend: (() => void) | undefined;

  open(_method: string, address: string) {
    this.address = address;
  }
  setRequestHeader(name: string, value: string) {
    this.headers[name] = value;
  }
  getResponseHeader() {
    return 'application/json';
  }
  send() {
    Sent.all.push(this);
  }
  abort() {
    this.onabort?.();
    this.onloadend?.();
  }
  async answer(status: number, body: object) {
    this.status = status;
    this.responseText = JSON.stringify(body);
    this.onload?.();
    this.onloadend?.();
    await settle();
  }
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
const file = (name: string) => ({ key: `in/${name}`, file: new File(['12345'], name) });
const steps = () => uploads.get().map((one) => one.step);

beforeEach(() => {
  vi.stubGlobal('XMLHttpRequest', Sent);
  Sent.all = [];
  tidy();
});

test('two files are sent at once, the next as soon as one is over, each with how far it is', async () => {
  add('finance', [file('a'), file('b'), file('c')]);
  await settle();
  expect(steps()).toEqual(['sending', 'sending', 'waiting']);
  expect(Sent.all[0]?.address).toBe('/api/v1/buckets/finance/object?key=in%2Fa');
  Sent.all[0]?.upload.onprogress?.({ loaded: 3 });
  expect(uploads.get()[0]?.sent).toBe(3);
  await Sent.all[0]?.answer(200, { encrypted: true });
  expect(steps()).toEqual(['stored', 'sending', 'sending']);
  expect(uploads.get()[0]).toMatchObject({ encrypted: true, sent: 5 });
  await Sent.all[1]?.answer(200, { encrypted: false });
  await Sent.all[2]?.answer(200, { encrypted: false });
  expect(steps()).toEqual(['stored', 'stored', 'stored']);
});

test('an object that is there is not replaced unless that is asked for', async () => {
  add('finance', [file('a')]);
  await settle();
  expect(Sent.all[0]?.headers['If-None-Match']).toBe('*');
  await Sent.all[0]?.answer(412, { code: 'precondition-failed', detail: 'it is there' });
  const [one] = uploads.get();
  expect(one?.step).toBe('failed');
  expect(one?.error).toBeInstanceOf(Problem);
  again(one?.id ?? 0, true);
  await settle();
  expect(Sent.all[1]?.headers['If-None-Match']).toBeUndefined();
  await Sent.all[1]?.answer(200, { encrypted: true });
  expect(steps()).toEqual(['stored']);
});

test('a cancelled file is stopped, and one that waits is never sent', async () => {
  add('finance', [file('a'), file('b'), file('c')]);
  await settle();
  uploads.get().forEach((one) => cancel(one.id));
  await settle();
  expect(steps()).toEqual(['cancelled', 'cancelled', 'cancelled']);
  expect(Sent.all).toHaveLength(2);
});
