/** The name that a policy's text gives itself, YAML or JSON; the service has the last word on it. */
export function nameIn(text: string): string | undefined {
  const block = /^metadata\s*:[^\n]*\n((?:[ \t]+[^\n]*\n?|\s*\n)*)/m.exec(text)?.[1] ?? '';
  const onItsLine = /^[ \t]+name\s*:\s*["']?([\w-]+)/m.exec(block)?.[1];
  if (onItsLine !== undefined) return onItsLine;
  const braces = /["']?\bmetadata["']?\s*:\s*\{([^}]*)\}/.exec(text)?.[1] ?? '';
  return /(?:^|,)\s*["']?name["']?\s*:\s*["']?([\w-]+)/.exec(braces)?.[1];
}
