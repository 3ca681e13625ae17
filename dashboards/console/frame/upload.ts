import { OWN_HEADER, judged, refusal } from './api';
import { again, inside } from './session';

interface Options {
  /** Bytes that are on their way, of those that the file has. */
  readonly onProgress: (sent: number) => void;
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends a file as the body of a PUT and tells how far it is, which `fetch` cannot. Gives what the service answered. */
export async function upload(address: string, file: Blob, options: Options): Promise<unknown> {
  const asker = inside();
  const response = await judged(() => put(address, file, options), options.signal, false);
  if (response.status === 401) {
    await again(asker, true);
    return upload(address, file, options);
  }
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** One attempt, as `fetch` would answer it. */
function put(address: string, file: Blob, { onProgress, signal, headers = {} }: Options): Promise<Response> {
  return new Promise((resolve, reject) => {
    const cancelled = () => reject(new DOMException('The upload was cancelled', 'AbortError'));
    if (signal.aborted) {
      cancelled();
      return;
    }
    const request = new XMLHttpRequest();
    request.open('PUT', address);
    request.setRequestHeader(OWN_HEADER, '1');
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    const abort = () => request.abort();
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onload = () => {
      const type = request.getResponseHeader('content-type') ?? '';
      resolve(new Response(request.status === 204 ? null : request.responseText, { status: request.status, headers: { 'content-type': type } }));
    };
    request.onerror = () => reject(new TypeError('The connection broke'));
    request.onabort = cancelled;
    request.onloadend = () => signal.removeEventListener('abort', abort);
    signal.addEventListener('abort', abort);
    request.send(file);
  });
}
