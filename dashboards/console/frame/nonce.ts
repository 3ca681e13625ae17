/** What the server wrote into this answer for styles that are made at run time; its policy lets no other pass. */
export function nonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? '';
}
