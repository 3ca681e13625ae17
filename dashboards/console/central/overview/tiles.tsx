import { Skeleton, Title } from '@mantine/core';
import { bytes, count, plural, share } from '@frame/format';
import { State } from '@frame/parts/State';
import type { UseQueryResult } from '@tanstack/react-query';
import { Link, type LinkProps } from '@tanstack/react-router';
import type { ReactNode } from 'react';

import type { Schemas } from '../api';
import { ENCRYPTED, PLAIN, type Row, sumOf } from '../figures/data';
import { effective } from './choice';
import type { Content } from './data';

interface Props {
  readonly chosen: readonly string[];
  readonly convergence: Schemas['Convergence'];
  readonly figures: UseQueryResult<{ rows: Row[]; truncated: boolean }>;
  readonly coverage: UseQueryResult<Schemas['Coverage']>;
  readonly inventories: UseQueryResult<readonly { readonly content: Content; readonly gateway: string }[]>;
}

/** Numbers, each a way to the rows that it is made of. */
export function Tiles({ chosen, convergence, figures, coverage, inventories }: Props) {
  const all = convergence.by_gateway.map((gateway) => gateway.name);
  const only = effective(all, chosen);
  const mine = convergence.by_gateway.filter((gateway) => only.length === 0 || only.includes(gateway.name));
  const connected = mine.filter((gateway) => gateway.connection === 'connected').length;
  const late = mine.filter((gateway) => gateway.connection === 'late').length;
  const lost = mine.filter((gateway) => gateway.connection === 'lost').length;
  const at = only.length > 0 ? only.join(',') : undefined;

  const rows = figures.data?.rows.filter((row) => only.length === 0 || only.includes(row.gateway ?? ''));
  const encrypted = rows && sumOf(rows, ENCRYPTED);
  const plain = rows && sumOf(rows, PLAIN);

  const buckets = coverage.data?.coverage;
  const encrypting = buckets?.filter((bucket) => bucket.encrypting).length ?? 0;
  const kms = inventories.data?.flatMap((inventory) => inventory.content.kms);
  const failing = kms?.filter((one) => one.state !== 'ok').length ?? 0;

  const effectiveCount = mine.filter((gateway) => gateway.effective).length;
  const refused = mine.filter((gateway) => gateway.refusal).length;
  return (
    <div className="sg-tiles">
      <Tile name="Total gateways" value={count(mine.length)} link={{ to: '/gateways' }}>
        <Link to="/gateways" search={{ connection: 'connected' }}>
          <State tone="good">{count(connected)} connected</State>
        </Link>
        <Link to="/gateways" search={{ connection: 'late' }}>
          <State tone={late > 0 ? 'warn' : 'idle'}>{count(late)} late</State>
        </Link>
        <Link to="/gateways" search={{ connection: 'lost' }}>
          <State tone={lost > 0 ? 'bad' : 'idle'}>{count(lost)} lost</State>
        </Link>
      </Tile>
      <Tile
        name="Objects encrypted"
        value={encrypted && count(encrypted.objects)}
        failed={figures.isError}
        link={{ to: '/figures', search: { outcome: ENCRYPTED.join(','), gateways: at, by: 'gateway' } }}
      >
        {plain && (
          <Link to="/figures" search={{ outcome: PLAIN.join(','), gateways: at, by: 'outcome' }}>
            {count(plain.objects)} stored as they were
          </Link>
        )}
      </Tile>
      <Tile
        name="Data protected"
        value={encrypted && bytes(encrypted.bytes)}
        failed={figures.isError}
        link={{ to: '/figures', search: { outcome: ENCRYPTED.join(','), gateways: at, by: 'bucket' } }}
      >
        {encrypted && plain && <span>{share(encrypted.bytes, encrypted.bytes + plain.bytes)} of all that was stored</span>}
      </Tile>
      <Tile name="Virtual buckets used" value={buckets && count(buckets.length)} failed={coverage.isError} link={{ to: '/coverage' }}>
        {buckets && (
          <Link to="/coverage" search={{ show: 'covered' }}>
            {count(encrypting)} encrypt every new object
          </Link>
        )}
      </Tile>
      <Tile name="Policy convergence" value={`${count(effectiveCount)} of ${count(mine.length)}`} link={{ to: '/revisions' }}>
        <span>effective at revision {count(convergence.revision)}</span>
        {refused > 0 && (
          <Link to="/gateways" search={{ refusing: true }}>
            <State tone="bad">{count(refused)} refused</State>
          </Link>
        )}
      </Tile>
      <Tile name="KMS health" value={kms && (failing > 0 ? plural(failing, 'failing', 'failing') : kms.length > 0 ? 'Well' : 'None')} failed={inventories.isError} link={{ to: '/gateways' }}>
        {kms && (
          <State tone={failing > 0 ? 'bad' : kms.length > 0 ? 'good' : 'idle'}>
            {kms.length - failing} of {kms.length} ready
          </State>
        )}
      </Tile>
    </div>
  );
}

interface TileProps {
  readonly name: string;
  readonly value: string | undefined;
  readonly failed?: boolean;
  readonly link: Pick<LinkProps, 'to' | 'search'>;
  readonly children?: ReactNode;
}

function Tile({ name, value, failed = false, link, children }: TileProps) {
  return (
    <section className="sg-tile" aria-label={name}>
      <Title order={2}>{name}</Title>
      <div className="sg-big">
        {value === undefined ? (
          failed ? '–' : <Skeleton height={28} width={110} />
        ) : (
          <Link {...link}>{value}</Link>
        )}
      </div>
      <div className="sg-below">{failed && value === undefined ? 'This could not be read; it is tried again.' : children}</div>
    </section>
  );
}
