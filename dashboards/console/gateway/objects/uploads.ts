import { session } from '@frame/session';
import { Store } from '@frame/store';
import { upload } from '@frame/upload';

import { addressOf } from './data';

/** How far a file is. */
export type Step = 'waiting' | 'sending' | 'stored' | 'failed' | 'cancelled';

/** A file on its way into a bucket. */
export interface Upload {
  readonly id: number;
  readonly bucket: string;
  readonly key: string;
  readonly file: File;
  /** An object of that key is overwritten; otherwise it is refused. */
  readonly replace: boolean;
  readonly step: Step;
  /** Bytes that were sent. */
  readonly sent: number;
  /** Once it is stored: whether encrypted. */
  readonly encrypted: boolean;
  /** Why it failed. */
  readonly error: unknown;
}

/** The rest waits: a browser opens six connections to a host, and pages need some. */
const AT_ONCE = 2;

/** All of this page, in the order in which they were chosen. They go on while other pages are looked at. */
export const uploads = new Store<readonly Upload[]>([]);

const running = new Map<number, AbortController>();
const onStored = new Set<(bucket: string) => void>();
let last = 0;

/** Calls `what` with the bucket each time that a file is stored. */
export function whenStored(what: (bucket: string) => void): () => void {
  onStored.add(what);
  return () => onStored.delete(what);
}

/** Whether a file is under way or waits for it. */
export const active = (one: Upload): boolean => one.step === 'waiting' || one.step === 'sending';

/** Sends files into a folder of a bucket. */
export function add(bucket: string, files: readonly { readonly key: string; readonly file: File }[]): void {
  const more = files.map(({ key, file }): Upload => {
    last += 1;
    return { id: last, bucket, key, file, replace: false, step: 'waiting', sent: 0, encrypted: false, error: null };
  });
  uploads.set([...uploads.get(), ...more]);
  next();
}

/** Sends one again that failed or was cancelled. */
export function again(id: number, replace: boolean): void {
  change(id, { step: 'waiting', sent: 0, error: null, replace });
  next();
}

/** Stops one; nothing of it is stored. */
export function cancel(id: number): void {
  const controller = running.get(id);
  if (controller) controller.abort();
  else change(id, { step: 'cancelled' });
}

/** Takes those that are over out of the list. */
export function tidy(): void {
  uploads.set(uploads.get().filter(active));
}

function change(id: number, to: Partial<Upload>): void {
  uploads.set(uploads.get().map((one) => (one.id === id ? { ...one, ...to } : one)));
}

function next(): void {
  for (const one of uploads.get()) {
    if (running.size >= AT_ONCE) return;
    if (one.step === 'waiting') void send(one);
  }
}

async function send({ id, bucket, key, file, replace }: Upload): Promise<void> {
  const controller = new AbortController();
  running.set(id, controller);
  change(id, { step: 'sending' });
  try {
    const answer = await upload(addressOf(bucket, key), file, {
      signal: controller.signal,
      onProgress: (sent) => change(id, { sent: Math.min(sent, file.size) }),
      headers: {
        'Content-Type': file.type === '' ? 'application/octet-stream' : file.type,
        ...(replace ? {} : { 'If-None-Match': '*' }),
      },
    });
    const encrypted = typeof answer === 'object' && answer !== null && 'encrypted' in answer && answer.encrypted === true;
    change(id, { step: 'stored', sent: file.size, encrypted });
    onStored.forEach((what) => what(bucket));
  } catch (error) {
    change(id, controller.signal.aborted ? { step: 'cancelled' } : { step: 'failed', error });
  } finally {
    running.delete(id);
    next();
  }
}

// What one person sent is not the next one's to see.
session.follow(() => {
  if (session.get().is !== 'out') return;
  uploads.set([]);
  running.forEach((controller) => controller.abort());
});
