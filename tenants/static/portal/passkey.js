// Buttons that ask the browser for a passkey. What it answers goes into the form, and is looked at by the server.
(() => {
  const { forms } = window.allauth.webauthn;
  const there = (id) => document.getElementById(id);
  const said = there("passkey-said");
  if (!window.PublicKeyCredential) {
    for (const button of document.querySelectorAll("[data-passkey]")) button.disabled = true;
    if (said) said.textContent = "This browser, or this address without TLS, has no passkeys.";
    return;
  }
  const ids = { credential: "passkey-credential", data: "js_data" };
  if (there("passkey-add")) forms.addForm({ ids: { ...ids, add: "passkey-add", passwordless: "id_passwordless" } });
  if (there("passkey-login")) forms.loginForm({ ids: { ...ids, login: "passkey-login" } });
  if (there("passkey-use")) forms.authenticateForm({ ids: { ...ids, authenticate: "passkey-use" } });
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    said.textContent = "That did not work: it was cancelled, took too long, or there is no passkey for this place here.";
  });
})();
