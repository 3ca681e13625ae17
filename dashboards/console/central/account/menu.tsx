import { Menu } from '@mantine/core';
import { IconUserCog } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';

/** The way to what a person can change of their own account. */
export function AccountMenu() {
  return (
    <Menu.Item component={Link} to="/account" leftSection={<IconUserCog size={16} aria-hidden />}>
      Account and password
    </Menu.Item>
  );
}
