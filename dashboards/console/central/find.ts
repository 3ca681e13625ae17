import { read } from '@frame/api';
import type { Found } from '@frame/application';

import { api } from './api';

/** Of each kind, so many. */
const MOST = 6;

/** Gateways and policies whose names have the text in them. */
export async function find(text: string, signal: AbortSignal): Promise<readonly Found[]> {
  const [gateways, policies] = await Promise.allSettled([
    read(api.GET('/api/v1/gateways', { params: { query: { q: text, limit: MOST } }, signal })),
    read(api.GET('/api/v1/policies', { params: { query: { q: text, limit: MOST } }, signal })),
  ]);
  const found: Found[] = [];
  if (gateways.status === 'fulfilled') {
    for (const gateway of gateways.value.gateways) {
      found.push({ id: `gateway ${gateway.name}`, label: gateway.name, description: 'Gateway', to: '/gateways/$name', params: { name: gateway.name } });
    }
  }
  // Whom the service refuses policies finds none.
  if (policies.status === 'fulfilled') {
    for (const policy of policies.value.policies) {
      found.push({ id: `policy ${policy.name}`, label: policy.name, description: 'Policy', to: '/policies/$name', params: { name: policy.name } });
    }
  }
  return found;
}
