"""What the API says when all is well. What it says otherwise is in the catalogue."""

from wallets.api.catalogue import Text

OPENED = Text("The wallet was created.", "کیف پول ساخته شد.")
DEPOSITED = Text("The deposit was applied.", "واریز انجام شد.")
BULK_APPLIED = Text("All deposits were applied.", "همهٔ واریزها انجام شد.")
BULK_IN_PART = Text(
    "Not every deposit was applied; each result says what became of one.",
    "همهٔ واریزها انجام نشد؛ هر نتیجه سرنوشت یکی را می‌گوید.",
)
SCHEDULED = Text("The withdrawal was scheduled.", "برداشت زمان‌بندی شد.")
WALLET = Text("The wallet and its newest transactions.", "کیف پول و تازه‌ترین تراکنش‌های آن.")
PAGE = Text("A page of transactions, newest first.", "یک صفحه از تراکنش‌ها، از تازه به کهنه.")
WALLETS_PAGE = Text("A page of wallets, newest first.", "یک صفحه از کیف پول‌ها، از تازه به کهنه.")
WITHDRAWALS_PAGE = Text(
    "A page of withdrawals, newest first.", "یک صفحه از برداشت‌ها، از تازه به کهنه."
)
WITHDRAWAL = Text("The withdrawal and its history.", "برداشت و سرگذشت آن.")
CANCELLED = Text(
    "The withdrawal is cancelled. No money moved.", "برداشت لغو شده است. پولی جابه‌جا نشد."
)
RESCHEDULED = Text(
    "The withdrawal is scheduled for that time.", "برداشت برای آن زمان برنامه‌ریزی شده است."
)
PROJECTION = Text(
    "What will be covered at its time, and what will not, if nothing else happens.",
    "آنچه در زمان خود پوشش داده می‌شود و آنچه نمی‌شود، اگر چیز دیگری رخ ندهد.",
)
BALANCE_AT = Text("The balance at that moment.", "موجودی در آن لحظه.")
STATEMENT = Text("The statement of that period.", "صورت‌حساب آن بازه.")
ERRORS = Text("Every error code of this API.", "همهٔ کدهای خطای این API.")
HEALTHY = Text("The service is healthy.", "سرویس سالم است.")
METHODS = Text("These methods are allowed here.", "این متدها در این نشانی مجاز است.")
