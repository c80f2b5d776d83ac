"""The rows of the core: what is sold, where it can stand, what was ordered and what stands.

Rows hold facts and constraints. They are written by the verbs (`services.catalogue`, `services.orders`,
`services.segments`, `services.reports` and their like) and by nobody else.
"""

from services.models.cart import CartItem
from services.models.catalogue import Offering, OfferingSize, Size
from services.models.certificates import PLATFORM, Authority, Certificate
from services.models.inventory import (
    OPEN_INQUIRY,
    Address,
    Deployment,
    DeploymentStep,
    Inquiry,
    Revision,
    ServiceEvent,
    ServiceInstance,
)
from services.models.orders import Action, OrderItem, ProductOrder, with_ends
from services.models.places import Pop, PopStatus, Prefix, Segment, SegmentKind, Transport, Uni
from services.models.samples import Sample

__all__ = [
    "OPEN_INQUIRY",
    "PLATFORM",
    "Action",
    "Address",
    "Authority",
    "CartItem",
    "Certificate",
    "Deployment",
    "DeploymentStep",
    "Inquiry",
    "Offering",
    "OfferingSize",
    "OrderItem",
    "Pop",
    "PopStatus",
    "Prefix",
    "ProductOrder",
    "Revision",
    "Sample",
    "Segment",
    "SegmentKind",
    "ServiceEvent",
    "ServiceInstance",
    "Size",
    "Transport",
    "Uni",
    "with_ends",
]
