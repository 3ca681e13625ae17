import './editor.css';

import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, HighlightStyle, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { forceLinting, linter, lintGutter, lintKeymap } from '@codemirror/lint';
import { search, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState, StateEffect } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef } from 'react';

import { nonce } from '../nonce';
import type { Issue } from '../problem';
import { offers, type Schema } from './complete';
import { diagnosticOf } from './diagnostics';

interface Props {
  /** What a screen reader calls it. */
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly readOnly?: boolean;
  /** What completion offers from. */
  readonly schema?: Schema | undefined;
  /** What is wrong with a text, with its places; a failure of the check itself says nothing about the text. */
  readonly check?: (text: string) => Promise<readonly (Issue & { readonly severity: 'error' | 'warning' })[]>;
  /** Becomes true: a check that failed may succeed now. */
  readonly again?: boolean;
}

/** The text is to be checked although it is the same. */
const recheck = StateEffect.define();

/** How long after the last key the text is checked. */
const AFTER_MS = 350;

const highlight = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--sg-accent)', fontWeight: '500' },
  { tag: [tags.string, tags.special(tags.string), tags.content], color: 'var(--sg-text)' },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: 'var(--sg-line-3)' },
  { tag: [tags.comment, tags.lineComment], color: 'var(--sg-quiet)', fontStyle: 'italic' },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: 'var(--sg-quiet)' },
  { tag: tags.meta, color: 'var(--sg-line-2)' },
]);

/** A text with highlighting, completion, and what is wrong at its line. Escape, then Tab leaves it by keyboard. */
export function Editor({ label, value, onChange, readOnly = false, schema, check, again = true }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef({ onChange, schema, check, value });
  useEffect(() => {
    latest.current = { onChange, schema, check, value };
  });
  const writable = useRef(new Compartment());
  const failed = useRef(false);

  useEffect(() => {
    const home = place.current;
    if (!home) return undefined;
    const made = new EditorView({
      parent: home,
      state: EditorState.create({
        doc: latest.current.value,
        extensions: [
          EditorView.cspNonce.of(nonce()),
          EditorView.contentAttributes.of({
            'aria-label': label,
            'aria-description': 'Tab indents. Escape, then Tab leaves the text.',
            'aria-multiline': 'true',
            spellcheck: 'false',
          }),
          lineNumbers(),
          lintGutter(),
          history(),
          drawSelection(),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          highlightActiveLineGutter(),
          indentUnit.of('  '),
          EditorView.lineWrapping,
          yaml(),
          syntaxHighlighting(highlight),
          search({ top: true }),
          autocompletion({
            override: [
              (context) => {
                const line = context.state.doc.lineAt(context.pos);
                const typed = line.text.slice(0, context.pos - line.from);
                const known = latest.current.schema;
                if (!known) return null;
                const before = context.state.doc.sliceString(0, Math.max(0, line.from - 1)).split('\n');
                const found = offers(known, line.from === 0 ? [] : before, typed);
                if (found.length === 0) return null;
                const word = /[\w./-]*$/.exec(typed)?.[0] ?? '';
                if (!context.explicit && word === '' && !typed.endsWith(': ')) return null;
                return {
                  from: context.pos - word.length,
                  options: found.map((offer) => ({
                    label: offer.label,
                    info: offer.detail,
                    type: offer.kind === 'field' ? 'property' : 'enum',
                    apply: offer.kind === 'field' ? `${offer.label}: ` : offer.label,
                  })),
                };
              },
            ],
          }),
          linter(
            async (now) => {
              const text = now.state.doc.toString();
              if (!latest.current.check || text.trim() === '') return [];
              const { doc } = now.state;
              try {
                const found = await latest.current.check(text);
                failed.current = false;
                return found.map((issue) => diagnosticOf(doc, issue));
              } catch {
                failed.current = true;
                return [];
              }
            },
            { delay: AFTER_MS, needsRefresh: ({ transactions }) => transactions.some(({ effects }) => effects.some((effect) => effect.is(recheck))) },
          ),
          keymap.of([
            { key: 'Tab', run: acceptCompletion },
            ...closeBracketsKeymap,
            ...defaultKeymap,
            ...searchKeymap,
            ...historyKeymap,
            ...completionKeymap,
            ...lintKeymap,
            indentWithTab,
          ]),
          writable.current.of([EditorState.readOnly.of(readOnly), EditorView.editable.of(!readOnly)]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    // Lines that become another height after they were measured (their style came later) would drift from their numbers.
    const watch = new ResizeObserver(() => made.requestMeasure());
    watch.observe(made.contentDOM);
    return () => {
      watch.disconnect();
      made.destroy();
      view.current = null;
    };
    // The view lives as long as the component; what changes reaches it below.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [label]);

  useEffect(() => {
    view.current?.dispatch({ effects: writable.current.reconfigure([EditorState.readOnly.of(readOnly), EditorView.editable.of(!readOnly)]) });
  }, [readOnly]);

  useEffect(() => {
    const now = view.current;
    if (!now || now.state.doc.toString() === value) return;
    now.dispatch({ changes: { from: 0, to: now.state.doc.length, insert: value } });
    forceLinting(now);
  }, [value]);

  useEffect(() => {
    const now = view.current;
    if (!now || !again || !failed.current) return;
    now.dispatch({ effects: recheck.of(null) });
    forceLinting(now);
  }, [again]);

  return <div className="sg-editor" ref={place} />;
}
