// Makes the token that the tests write with.
const fs = require('fs');

module.exports = {
  register() {},
  async bootstrap({ strapi }) {
    const fields = { name: 'pme', description: '', type: 'full-access', lifespan: null };
    const token = await strapi.service('admin::api-token').create(fields);
    fs.writeFileSync(process.env.TOKEN_FILE, token.accessKey);
  },
};
