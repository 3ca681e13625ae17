import { Modal, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { type LinkProps, useRouter } from '@tanstack/react-router';
import { type KeyboardEvent, useId, useState } from 'react';

import type { Application, Found } from './application';
import { useOffered } from './pages';
import { explain } from './problem';
import './palette.css';

interface Props {
  readonly app: Application;
  readonly opened: boolean;
  readonly onClose: () => void;
}

/** Search over pages and what the application knows by name; arrow keys and Enter. */
export function Palette({ app, opened, onClose }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      withCloseButton={false}
      padding={0}
      size={560}
      centered={false}
      yOffset="10vh"
      attributes={{ content: { 'aria-label': 'Search' } }}
    >
      <Search app={app} onClose={onClose} />
    </Modal>
  );
}

function Search({ app, onClose }: Omit<Props, 'opened'>) {
  const [typed, setTyped] = useState('');
  const [at, setAt] = useState(0);
  const [text] = useDebouncedValue(typed.trim().toLowerCase(), 150);
  const list = useId();
  const router = useRouter();
  const begins = (title: string) => title.toLowerCase().startsWith(typed.trim().toLowerCase());
  const pages = useOffered()
    .filter((page) => `${page.title} ${page.group ?? ''} ${page.words ?? ''}`.toLowerCase().includes(typed.trim().toLowerCase()))
    // What is called so before what is about it.
    .toSorted((a, b) => Number(begins(b.title)) - Number(begins(a.title)))
    .map((page): Found => ({ id: page.path, label: page.title, description: page.group ?? 'Page', to: page.path as LinkProps['to'] }));
  const found = useQuery({
    queryKey: ['search', text],
    queryFn: ({ signal }) => app.find?.(text, signal) ?? [],
    enabled: text !== '' && app.find !== undefined,
  });
  const all = [...pages, ...(typed.trim() === '' ? [] : (found.data ?? []))];
  const chosen = Math.min(at, all.length - 1);

  const go = (one: Found | undefined) => {
    if (!one) return;
    onClose();
    // An application's own routes are not known here; what is found names one of them.
    void router.navigate({ to: one.to, params: one.params } as Parameters<typeof router.navigate>[0]);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown') setAt((chosen + 1) % Math.max(all.length, 1));
    else if (event.key === 'ArrowUp') setAt((chosen - 1 + all.length) % Math.max(all.length, 1));
    else if (event.key === 'Enter') go(all[chosen]);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <TextInput
        data-autofocus
        variant="unstyled"
        size="md"
        px="sm"
        leftSection={<IconSearch size={18} aria-hidden />}
        placeholder={`Search pages${app.find ? ', gateways, policies' : ''}`}
        aria-label="Search"
        role="combobox"
        aria-expanded
        aria-controls={list}
        aria-activedescendant={all[chosen] ? `${list}-${chosen}` : undefined}
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(event) => {
          setTyped(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
      />
      <div className="sg-found" id={list} role="listbox" aria-label="Found">
        {all.map((one, index) => (
          // The keyboard acts on the field above, which names the chosen entry.
          // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
          <div
            key={one.id}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === chosen}
            onClick={() => go(one)}
            onMouseMove={() => setAt(index)}
          >
            <span>{one.label}</span>
            <small>{one.description}</small>
          </div>
        ))}
      </div>
      {all.length === 0 && (
        <Text c="dimmed" size="sm" p="md" role="status">
          {found.isFetching ? 'Searching' : found.isError ? explain(found.error) : `Nothing is called “${typed.trim()}”.`}
        </Text>
      )}
    </>
  );
}
