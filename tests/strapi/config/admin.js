module.exports = () => ({
  auth: { secret: 'tests' },
  apiToken: { salt: 'tests' },
  transfer: { token: { salt: 'tests' } },
  serveAdminPanel: false,
});
