import type { Issue } from '@frame/problem';
import { useCallback, useEffect, useRef, useState } from 'react';

/** What the check says of a text: a mistake, or advice. */
export type Checked = Issue & { readonly severity: 'error' | 'warning' };

/** What is known of a text: what the check found in it, or why it came to nothing. */
export type Verdict = { readonly found: readonly Checked[] } | { readonly failed: unknown };

/**
 * The verdict on `text`, and what has a text checked. A verdict is of the text that was checked and of no other: with
 * each change it is forgotten, and an answer about an earlier text is not taken.
 */
export function useVerdict(text: string, check: (text: string) => Promise<readonly Checked[]>): readonly [Verdict | null, (text: string) => Promise<readonly Checked[]>] {
  const [known, setKnown] = useState<{ readonly text: string; readonly verdict: Verdict } | null>(null);
  const latest = useRef(text);
  useEffect(() => {
    latest.current = text;
  });
  const checked = useCallback(
    async (now: string) => {
      const take = (verdict: Verdict) => {
        if (latest.current === now) setKnown({ text: now, verdict });
      };
      try {
        const found = await check(now);
        take({ found });
        return found;
      } catch (failed) {
        take({ failed });
        throw failed;
      }
    },
    [check],
  );
  return [known !== null && known.text === text ? known.verdict : null, checked];
}
