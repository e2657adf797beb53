"""What an access token of scope `account` is good for."""

from django.http import HttpRequest, JsonResponse
from oauth2_provider.views.generic import ScopedProtectedResourceView


class Account(ScopedProtectedResourceView):
    """Whose token it is. The toolkit has read the user together with the token."""

    # The class of the toolkit rather than its decorator, which builds its server anew for each request.
    required_scopes = ("account",)

    def get(self, request: HttpRequest) -> JsonResponse:
        user = request.resource_owner
        return JsonResponse({"id": user.pk, "email": user.email, "name": user.get_full_name()})
