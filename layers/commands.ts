export const runCommand = (): void => undefined
