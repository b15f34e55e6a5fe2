// Anybody may read a space; only a token may change one.
const { createCoreRouter } = require('@strapi/strapi').factories;

module.exports = createCoreRouter('api::space.space', { config: { find: { auth: false }, findOne: { auth: false } } });
