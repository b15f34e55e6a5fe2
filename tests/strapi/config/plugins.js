module.exports = () => ({ 'users-permissions': { config: { jwtSecret: 'tests' } } });
