"""Addresses of the pages about a tenant's people, keys and trail, below `/t/<tenant>/`."""

from django.urls import path

from tenants.portal import company

urlpatterns = [
    path("team/", company.Team.as_view(), name="team"),
    path("team/invite/", company.Invite.as_view(), name="team-invite"),
    path("team/invitations/<id:id>/withdraw/", company.Withdraw.as_view(), name="invitation-withdraw"),
    path("team/<int:id>/", company.Change.as_view(), name="member-change"),
    path("tokens/", company.Tokens.as_view(), name="tokens"),
    path("tokens/<id:id>/revoke/", company.Revoke.as_view(), name="token-revoke"),
    path("audit/", company.Audit.as_view(), name="audit"),
    path("settings/", company.Settings.as_view(), name="settings"),
    path("settings/sign-on/", company.SignOn.as_view(), name="settings-sign-on"),
]
