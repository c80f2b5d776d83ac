// The code stands behind the # of the link, which browsers send to nobody; it goes into its field, and out of the address.
(() => {
  const field = document.getElementById("id_code");
  const code = decodeURIComponent(location.hash.slice(1));
  if (!field || !code) return;
  field.value = code;
  history.replaceState(null, "", location.pathname);
  document.getElementById("id_name").focus();
})();
