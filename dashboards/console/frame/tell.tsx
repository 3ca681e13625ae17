import { notifications } from '@mantine/notifications';
import { IconCheck, IconX } from '@tabler/icons-react';

const closeButtonProps = { 'aria-label': 'Close' };

/** Passing words about what somebody did. What must stay is said on the page, not here. */
export const tell = {
  done: (title: string, message = ''): void => {
    notifications.show({ title, message, color: 'seal', icon: <IconCheck size={16} aria-hidden />, closeButtonProps });
  },
  failed: (title: string, message: string): void => {
    notifications.show({ title, message, color: 'red.9', icon: <IconX size={16} aria-hidden />, autoClose: 12_000, closeButtonProps });
  },
  /** Until it is closed: of something that nobody looked for. */
  lasting: (title: string, message: string): void => {
    notifications.show({ title, message, color: 'red.9', icon: <IconX size={16} aria-hidden />, autoClose: false, closeButtonProps });
  },
};
