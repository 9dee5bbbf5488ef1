package androidx.test.platform.app

abstract class Instrumentation {
    abstract val targetContext: android.content.Context
}

object InstrumentationRegistry {
    @JvmStatic
    fun getInstrumentation(): Instrumentation = TODO()
}
