"""Addresses of the pages about an SBC, below `/t/<tenant>/`."""

from django.urls import path

from sbc.portal import documents, live, overview, proof, quality, records, simulator

SBC = "services/<id:id>/sbc"

urlpatterns = [
    path(f"{SBC}/", overview.Overview.as_view(), name="sbc-overview"),
    path(f"{SBC}/trunks/", documents.Trunks.as_view(), name="sbc-trunks"),
    path(f"{SBC}/trunks/new/", documents.TrunkForm.as_view(), name="sbc-trunk-new"),
    path(f"{SBC}/trunks/of/<id:named>/", documents.TrunkForm.as_view(), name="sbc-trunk"),
    path(f"{SBC}/trunks/of/<id:named>/remove/", documents.TrunkRemove.as_view(), name="sbc-trunk-remove"),
    path(f"{SBC}/routes/", documents.Routes.as_view(), name="sbc-routes"),
    path(f"{SBC}/routes/new/", documents.RouteForm.as_view(), name="sbc-route-new"),
    path(f"{SBC}/routes/of/<id:named>/", documents.RouteForm.as_view(), name="sbc-route"),
    path(f"{SBC}/routes/of/<id:named>/remove/", documents.RouteRemove.as_view(), name="sbc-route-remove"),
    path(f"{SBC}/emergency/", documents.EmergencyForm.as_view(), name="sbc-emergency"),
    path(f"{SBC}/sources/", documents.Sources.as_view(), name="sbc-sources"),
    path(f"{SBC}/sources/new/", documents.SourceForm.as_view(), name="sbc-source-new"),
    path(f"{SBC}/sources/of/<id:named>/", documents.SourceForm.as_view(), name="sbc-source"),
    path(f"{SBC}/sources/of/<id:named>/remove/", documents.SourceRemove.as_view(), name="sbc-source-remove"),
    path(f"{SBC}/trunks/states/", live.Trunks.as_view(), name="sbc-trunk-states"),
    path(f"{SBC}/calls/", live.Calls.as_view(), name="sbc-calls"),
    path(f"{SBC}/bans/", live.Bans.as_view(), name="sbc-bans"),
    path(f"{SBC}/test-calls/", proof.TestCalls.as_view(), name="sbc-test-calls"),
    path(f"{SBC}/birth/", proof.Birth.as_view(), name="sbc-birth"),
    path(f"{SBC}/certificate/", proof.Certificate.as_view(), name="sbc-certificate"),
    path(f"{SBC}/simulator/", simulator.Simulator.as_view(), name="sbc-simulator"),
    path(f"{SBC}/quality/", quality.Quality.as_view(), name="sbc-quality"),
    path(f"{SBC}/records/", records.Records.as_view(), name="sbc-records"),
    path(f"{SBC}/records/<int:record>/", records.Record.as_view(), name="sbc-record"),
]
