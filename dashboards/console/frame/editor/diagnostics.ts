import type { Diagnostic } from '@codemirror/lint';
import type { Text } from '@codemirror/state';

import type { Issue } from '../problem';

/** Where an issue is in the text: from its column to the end of the word there, at least one character wide. */
export function diagnosticOf(doc: Text, issue: Issue & { readonly severity: 'error' | 'warning' }): Diagnostic {
  const number = Math.min(Math.max(issue.line, 1), doc.lines);
  const line = doc.line(number);
  // The service counts characters, the editor UTF-16 units.
  const offset = Array.from(line.text).slice(0, Math.max(issue.column - 1, 0)).join('').length;
  const from = Math.min(line.from + offset, line.to);
  const word = /^[\w./"'-]+/.exec(doc.sliceString(from, line.to))?.[0] ?? '';
  return {
    from,
    to: Math.min(from + Math.max(word.length, 1), line.to),
    severity: issue.severity,
    message: issue.message,
    source: issue.code,
  };
}
