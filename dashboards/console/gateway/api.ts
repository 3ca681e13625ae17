import { client } from '@frame/api';
import type { components, paths } from '@generated/gateway';

/** The gateway's interface, as its document describes it. */
export const api = client<paths>();

/** What the interface speaks of, by the names of its document. */
export type Schemas = components['schemas'];
