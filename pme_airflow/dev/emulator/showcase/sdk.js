// What the vendor's client loads after the handshake: the part of the SDK that Private Model Embed uses.
class TokenRefresher {
  constructor(messenger, info, fetcher) {
    this.listeners = { refresh: new Set(), error: new Set() };
    this.messenger = messenger;
    this.fetcher = fetcher;
    this.take(info);
  }

  on(event, callback) {
    this.listeners[event].add(callback);
    return this;
  }

  off(event, callback) {
    this.listeners[event].delete(callback);
    return this;
  }

  dispose() {
    this.disposed = true;
    clearTimeout(this.timer);
  }

  take(info) {
    this.messenger.send({ type: "oauth.token", payload: { access_token: info.access_token } });
    const margin = Math.min(60, info.expires_in / 4);
    this.timer = setTimeout(() => this.refresh(info.access_token), Math.max(0, info.expires_in - margin) * 1000);
  }

  async refresh(old) {
    try {
      const info = await this.fetcher.fetch(old);
      if (this.disposed) return;
      this.take(info);
      this.listeners.refresh.forEach((callback) => callback(info));
    } catch (error) {
      this.listeners.error.forEach((callback) => callback(error));
    }
  }
}

export class SdkBuilder {
  constructor(factory) {
    this.factory = factory;
  }

  async build() {
    const messenger = this.factory.createMessenger();
    messenger.init();
    return {
      OAuth: {
        createTokenRefresher(info, fetcher) {
          return new TokenRefresher(messenger, info, fetcher);
        },
      },
      disconnect: () => messenger.dispose(),
    };
  }
}
