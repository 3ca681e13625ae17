import { compareLines } from './lines';

/** Lines around a change that are shown with it. */
const AROUND = 3;

/** Two texts, line by line; what is the same far from a change is left out. */
export function TextDiff({ before, after }: { readonly before: string; readonly after: string }) {
  if (before === after) return <p style={{ margin: 0 }}>The texts are the same.</p>;
  const lines = compareLines(before, after);
  const near = (at: number) => lines.slice(Math.max(0, at - AROUND), at + AROUND + 1).some((line) => line.is !== 'same');
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reached by keyboard
    <pre className="sg-code sg-diff" tabIndex={0} aria-label="Lines that differ">
      {lines.map((line, at) => {
        if (line.is === 'same' && !near(at)) return near(at - 1) ? <span key={at} data-line="place">…</span> : null;
        return (
          <span key={at} data-line={line.is}>
            {line.is === 'added' ? '+ ' : line.is === 'removed' ? '− ' : '  '}
            {line.text}
          </span>
        );
      })}
    </pre>
  );
}

/** Lines at the head of a unified diff that name the two texts. */
const HEAD = 2;

/** A unified diff as the service makes it. */
export function UnifiedDiff({ text }: { readonly text: string }) {
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reached by keyboard
    <pre className="sg-code sg-diff" tabIndex={0} aria-label="Lines that differ">
      {text.trimEnd().split('\n').slice(HEAD).map((line, at) => (
        <span key={at} data-line={line.startsWith('@@') ? 'place' : line.startsWith('+') ? 'added' : line.startsWith('-') ? 'removed' : 'same'}>
          {line}
        </span>
      ))}
    </pre>
  );
}
