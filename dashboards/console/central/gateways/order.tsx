import { TextInput } from '@mantine/core';
import { Confirm } from '@frame/parts/Confirm';
import { atFields } from '@frame/problem';
import { tell } from '@frame/tell';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { type Gateway, give, type Order } from './data';

/** What the buttons say. */
export const VERBS: Readonly<Record<Order, string>> = { suspend: 'Suspend', resume: 'Resume', retire: 'Retire', release: 'Release' };

const IMPACT: Readonly<Record<Order, string>> = {
  suspend:
    'Central ends its connection at once and refuses it until it is resumed. Its clients are served on, by the policies that it has now; it gets no newer ones, and what it counts arrives when it is resumed.',
  resume: 'Central lets it connect again. It gets the newest policies, and sends what it counted in the meantime.',
  retire:
    'Central ends its connection at once and refuses its certificate for good; nothing brings it back under this identity. What it has counted stays in the figures. The gateway itself is not stopped: its clients are served on by the policies that it has, until you stop it.',
  release:
    'The next machine that connects with this identity is taken for the gateway. Stop the copy first: otherwise both are quarantined again.',
};

const DONE: Readonly<Record<Order, string>> = { suspend: 'suspended', resume: 'taken into service again', retire: 'retired', release: 'released' };

interface Props {
  readonly gateway: Gateway;
  readonly order: Order;
  readonly onClose: () => void;
}

/** Asks for a reason and, where it is felt, for the name; then gives the order. */
export function GiveOrder({ gateway, order, onClose }: Props) {
  const [reason, setReason] = useState('');
  const queries = useQueryClient();
  const giving = useMutation({
    mutationFn: () => give(gateway.name, order, reason.trim()),
    onSuccess: async (after) => {
      queries.setQueryData(['gateways', 'one', gateway.name], after);
      tell.done(`${gateway.name} is ${DONE[order]}`);
      onClose();
      await queries.invalidateQueries({ queryKey: ['gateways'] });
    },
  });
  const hard = order === 'suspend' || order === 'retire';
  return (
    <Confirm
      title={`${VERBS[order]} ${gateway.name}?`}
      impact={IMPACT[order]}
      word={hard ? gateway.name : undefined}
      verb={VERBS[order]}
      danger={hard}
      busy={giving.isPending}
      error={giving.error}
      fields={['reason']}
      onConfirm={() => giving.mutate()}
      onClose={onClose}
    >
      <TextInput
        label="Reason"
        description="Kept in the audit, and shown on the gateway’s page"
        maxLength={500}
        error={atFields(giving.error, ['reason'])['reason']}
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
    </Confirm>
  );
}
