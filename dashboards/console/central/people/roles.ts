import type { Schemas } from '../api';

/** What an account or a token is for. */
export type Role = Schemas['Role'];

/** In a sentence each. */
export const ROLES: Readonly<Record<Role, string>> = {
  viewer: 'Sees the overview and its figures only',
  operator: 'Manages gateways and their enrolment; reads policies',
  editor: 'Writes policies; reads gateways',
  approver: 'Reads everything that an editor does, and the audit',
  admin: 'May do everything',
};
