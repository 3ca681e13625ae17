import type { Schemas } from '../api';

type Event = Schemas['GatewayEvent'];

type Detail = Readonly<Record<string, unknown>>;

const word = (detail: Detail, name: string): string => {
  const value = detail[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
};

const labels = (value: unknown): string =>
  typeof value === 'object' && value !== null && Object.keys(value).length > 0
    ? Object.entries(value)
        .map(([key, one]) => `${key}=${String(one)}`)
        .join(', ')
    : 'none';

/** An event of a gateway in a sentence. A kind that is not known here is shown by its name. */
export function sentence(event: Pick<Event, 'kind'> & { readonly detail: unknown }): string {
  const detail = (typeof event.detail === 'object' && event.detail !== null ? event.detail : {}) as Detail;
  const by = word(detail, 'by') === '' ? '' : ` by ${word(detail, 'by')}`;
  switch (event.kind) {
    case 'enrolled':
      return `Enrolled${detail['again'] === true ? ' again' : ''} from ${word(detail, 'address')}, version ${word(detail, 'version')}`;
    case 'connected':
      return `Connected from ${word(detail, 'address')}, version ${word(detail, 'version')}`;
    case 'disconnected':
      return 'The connection ended';
    case 'refused':
      return `Refused revision ${word(detail, 'revision')}: ${word(detail, 'reason')}`;
    case 'state': {
      const because = word(detail, 'because');
      return `From ${word(detail, 'from')} to ${word(detail, 'to')}${by}${because === '' ? '' : `: ${because}`}`;
    }
    case 'labels':
      return `Labels from ${labels(detail['from'])} to ${labels(detail['to'])}${by}`;
    default:
      return event.kind;
  }
}
